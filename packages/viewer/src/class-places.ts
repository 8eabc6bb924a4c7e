/** A label map, as far as its classes are concerned. */
export interface MapClasses {
  /** Values in the map. */
  values: readonly number[]
  /** Values that have a name, also where no voxel has them. */
  named: readonly number[]
}

/**
 * The place of each value, from 0, among all that the maps of a scene have: two maps of the same classes have the same colours, and as
 * long as there are colours no two classes share one.
 * @param colours how many there are. Named classes that are not in a map count where all have a colour: then a class keeps its own from
 * case to case.
 */
export function classPlaces(maps: readonly MapClasses[], colours: number): Map<number, number> {
  const present = inOrder(maps.flatMap(({ values }) => values))
  const all = inOrder([...present, ...maps.flatMap(({ named }) => named)])
  return new Map((all.length <= colours ? all : present).map((value, place) => [value, place]))
}

function inOrder(values: readonly number[]): number[] {
  return [...new Set(values)].filter((value) => value !== 0).sort((a, b) => a - b)
}
