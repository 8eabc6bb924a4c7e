import { crc32, deflateSync } from 'node:zlib'

/** A palette's colour: red, green, blue, alpha, each 0..255. */
export type Rgba = readonly [number, number, number, number]

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)

/** An 8-bit grey PNG of (height, width) bytes, rows from the top. */
export function encodeGreyPng(width: number, height: number, grey: Uint8Array): Uint8Array {
  return assemble(width, height, 0, grey, [])
}

/** A PNG of (height, width) indices into a palette of up to 256 colours, rows from the top. */
export function encodeIndexedPng(
  width: number,
  height: number,
  indices: Uint8Array,
  palette: readonly Rgba[],
): Uint8Array {
  const colours = Uint8Array.from(palette.flatMap((colour) => colour.slice(0, 3)))
  const alphas = Uint8Array.from(palette.map(([, , , alpha]) => alpha))
  return assemble(width, height, 3, indices, [chunk('PLTE', colours), chunk('tRNS', alphas)])
}

function assemble(
  width: number,
  height: number,
  colourType: 0 | 3,
  pixels: Uint8Array,
  extra: Uint8Array[],
): Uint8Array {
  if (pixels.length !== width * height) throw new RangeError(`${pixels.length} pixels are not ${width} x ${height}`)
  const header = new Uint8Array(13)
  const view = new DataView(header.buffer)
  view.setUint32(0, width)
  view.setUint32(4, height)
  header.set([8, colourType, 0, 0, 0], 8) // bits, colour type, deflate, adaptive filter, not interlaced
  // Indices compress best unfiltered, grey values as the difference to the pixel on the left.
  const filter = colourType === 0 ? 1 : 0
  const rows = new Uint8Array((width + 1) * height)
  for (let y = 0; y < height; y++) {
    const at = y * (width + 1)
    rows[at] = filter
    for (let x = 0; x < width; x++) {
      const left = filter === 1 && x > 0 ? pixels[y * width + x - 1]! : 0
      rows[at + 1 + x] = pixels[y * width + x]! - left
    }
  }
  const data = chunk('IDAT', deflateSync(rows, { level: 9 }))
  return Buffer.concat([SIGNATURE, chunk('IHDR', header), ...extra, data, chunk('IEND', new Uint8Array(0))])
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(data.length + 12)
  bytes.writeUInt32BE(data.length, 0)
  bytes.write(type, 4, 'latin1')
  bytes.set(data, 8)
  bytes.writeUInt32BE(crc32(bytes.subarray(4, data.length + 8)), data.length + 8)
  return bytes
}
