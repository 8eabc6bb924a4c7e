const ALPHABET = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#'

/** Z85 (https://rfc.zeromq.org/spec/32/), the text form of ZeroMQ's CURVE keys: 32 bytes are 40 characters. */
export function encodeZ85(bytes: Uint8Array): string {
  if (bytes.length % 4 !== 0) throw new RangeError('Z85 takes a multiple of 4 bytes')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  let text = ''
  for (let at = 0; at < bytes.length; at += 4) {
    let value = view.getUint32(at)
    let group = ''
    for (let i = 0; i < 5; i++) {
      group = ALPHABET[value % 85]! + group
      value = Math.floor(value / 85)
    }
    text += group
  }
  return text
}
