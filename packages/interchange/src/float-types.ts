/** How the numbers of a foreign file are stored; little-endian. */
export type FloatType = 'F32' | 'F64' | 'F16' | 'BF16'

export const FLOAT_BYTES: Record<FloatType, number> = { F32: 4, F64: 8, F16: 2, BF16: 2 }

/** A function that gives the n-th number of the bytes, which need not be aligned. */
export function floatReader(type: FloatType, bytes: Uint8Array): (index: number) => number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  switch (type) {
    case 'F32':
      return (index) => view.getFloat32(index * 4, true)
    case 'F64':
      return (index) => view.getFloat64(index * 8, true)
    case 'F16':
      return (index) => halfToNumber(view.getUint16(index * 2, true))
    case 'BF16': {
      const word = new DataView(new ArrayBuffer(4))
      return (index) => {
        word.setUint32(0, view.getUint16(index * 2, true) << 16)
        return word.getFloat32(0)
      }
    }
  }
}

/** IEEE 754 binary16: a sign, five bits of exponent, ten of fraction. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25)
}
