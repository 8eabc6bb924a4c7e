/** Sums over the cases of each subject: several scans of one person vary together, and count as one draw. */
export interface SubjectSums {
  sums: Float64Array
  /** Cases of each subject. */
  cases: Float64Array
}

/** @param subjects that the values are of, as many; default: each is of its own */
export function sumBySubject(values: readonly number[], subjects?: readonly string[]): SubjectSums {
  if (subjects === undefined) return { sums: Float64Array.from(values), cases: new Float64Array(values.length).fill(1) }
  const places = new Map<string, number>()
  const sums: number[] = []
  const cases: number[] = []
  for (const [i, value] of values.entries()) {
    const place = places.get(subjects[i]!) ?? places.size
    places.set(subjects[i]!, place)
    sums[place] = (sums[place] ?? 0) + value
    cases[place] = (cases[place] ?? 0) + 1
  }
  return { sums: Float64Array.from(sums), cases: Float64Array.from(cases) }
}

/** How many subjects, where they are fewer than their cases: what a report then says beside the number of cases. */
export function fewerSubjects(subjects: readonly string[]): { subjects?: number } {
  const count = new Set(subjects).size
  return count < subjects.length ? { subjects: count } : {}
}
