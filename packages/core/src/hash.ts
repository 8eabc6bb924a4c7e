import { hash } from 'node:crypto'

/** Lower-case hexadecimal SHA-256 of bytes or of a UTF-8 string. */
export function sha256(data: Uint8Array | string): string {
  return hash('sha256', data, 'hex')
}

/** JSON with the keys of every object sorted and no spaces: equal values give equal text, so it can be hashed or signed. */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value !== 'object') return JSON.stringify(value)
  let text = ''
  if (Array.isArray(value)) {
    for (const item of value) text += `${text === '' ? '' : ','}${canonicalJson(item ?? null)}`
    return `[${text}]`
  }
  const object = value as Record<string, unknown>
  for (const key of Object.keys(object).sort()) {
    if (object[key] !== undefined)
      text += `${text === '' ? '' : ','}${JSON.stringify(key)}:${canonicalJson(object[key])}`
  }
  return `{${text}}`
}

/** The bytes of a typed array, without a copy. Little-endian on every platform that meshfl runs on. */
export function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
}
