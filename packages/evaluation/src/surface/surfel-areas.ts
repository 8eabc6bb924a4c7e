type Vector = readonly [number, number, number]

/** The corners of each face of a cube, in the order in which they are passed when one looks at it from outside. Corner: x + 2 y + 4 z. */
const FACES = [0, 1, 2].flatMap((axis) => {
  const [u, v] = [1 << ((axis + 1) % 3), 1 << ((axis + 2) % 3)]
  const far = 1 << axis
  return [
    [0, v, u | v, u],
    [far, far | u, far | u | v, far | v],
  ]
})

/**
 * Areas, mm², of the surface between eight neighbouring voxels, by their code: bit x + 2 y + 4 z is set where the voxel at that offset
 * belongs to the class.
 *
 * The areas are those of DeepMind's surface-distance (https://github.com/google-deepmind/surface-distance): the polygons of
 * marching cubes through the middles of the cube's edges. They follow from three rules, by which all 256 of its codes come out: the
 * voxels that are fewer (the class, when there are four) are cut off from the others, one by one on a face where they meet at a
 * corner only; a code and its complement have one surface; a polygon that is not flat is cut into the triangles whose area is largest
 * where voxels are cubes.
 * @param voxelSizeMm edges of a voxel along x, y, z
 */
export function surfelAreas(voxelSizeMm: Vector): Float64Array {
  const [x, y, z] = voxelSizeMm
  const areas = new Float64Array(256)
  for (let code = 1; code < 255; code++) {
    const few = bitCount(code) > 4 ? 255 - code : code
    for (const polygon of polygonsAround(few)) {
      // A length along an axis grows by the edge of the voxel, a normal by the two other edges.
      for (const [nx, ny, nz] of trianglesOf(polygon).normals)
        areas[code]! += Math.hypot(nx * y * z, ny * x * z, nz * x * y)
    }
  }
  return areas
}

/** The closed lines along which the surface meets the faces of the cube, as points in the cube of edge 1. */
function polygonsAround(code: number): Vector[][] {
  const isInside = (corner: number): boolean => ((code >> corner) & 1) === 1
  // Seen from outside, the line goes from where a face's edge enters the class to where it leaves it.
  const next = new Map<number, number>()
  for (const face of FACES) {
    const corner = (i: number): number => face[i % 4]!
    for (let i = 0; i < 4; i++) {
      if (isInside(corner(i)) || !isInside(corner(i + 1))) continue
      let last = i + 1
      while (isInside(corner(last + 1))) last++
      next.set(edgeOf(corner(i), corner(i + 1)), edgeOf(corner(last), corner(last + 1)))
    }
  }
  const polygons: Vector[][] = []
  for (const start of next.keys()) {
    const polygon: Vector[] = []
    // What was passed is taken out, so that each line is followed once.
    for (let edge = start; next.has(edge); ) {
      const following = next.get(edge)!
      next.delete(edge)
      polygon.push(middleOf(edge))
      edge = following
    }
    polygons.push(polygon)
  }
  return polygons
}

/** One number for the edge between two corners, whichever is named first. */
function edgeOf(a: number, b: number): number {
  return a < b ? 8 * a + b : 8 * b + a
}

function middleOf(edge: number): Vector {
  const [a, b] = [edge >> 3, edge & 7]
  const middle = (axis: number): number => (((a >> axis) & 1) + ((b >> axis) & 1)) / 2
  return [middle(0), middle(1), middle(2)]
}

/** The normals of the triangles, as long as their areas, of the cut of a polygon whose area is largest. */
function trianglesOf(polygon: readonly Vector[]): { area: number; normals: Vector[] } {
  let best: { area: number; normals: Vector[] } = { area: 0, normals: [] }
  // Whatever the cut, one triangle stands on the side from the first point to the last.
  for (let i = 1; i < polygon.length - 1; i++) {
    const normal = triangleNormal(polygon[0]!, polygon[i]!, polygon.at(-1)!)
    const [before, after] = [trianglesOf(polygon.slice(0, i + 1)), trianglesOf(polygon.slice(i))]
    const area = before.area + after.area + Math.hypot(...normal)
    if (area > best.area) best = { area, normals: [normal, ...before.normals, ...after.normals] }
  }
  return best
}

function triangleNormal(a: Vector, b: Vector, c: Vector): Vector {
  const [ux, uy, uz] = [b[0] - a[0], b[1] - a[1], b[2] - a[2]]
  const [vx, vy, vz] = [c[0] - a[0], c[1] - a[1], c[2] - a[2]]
  return [(uy * vz - uz * vy) / 2, (uz * vx - ux * vz) / 2, (ux * vy - uy * vx) / 2]
}

function bitCount(code: number): number {
  let count = 0
  for (let rest = code; rest > 0; rest >>= 1) count += rest & 1
  return count
}
