/** A name in the way of BIDS tells its subject and session; any other name is a subject of its own. */
export function subjectOfName(name: string): { subject: string; columns: Record<string, string> } {
  const match = /^(sub-[A-Za-z0-9]+)(?:_(ses-[A-Za-z0-9]+))?(?=[_.]|$)/.exec(name)
  if (match === null) return { subject: name, columns: {} }
  return { subject: match[1]!, columns: match[2] === undefined ? {} : { session: match[2] } }
}
