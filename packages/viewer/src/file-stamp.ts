import { stat } from 'node:fs/promises'

/** Tells one content of a file from another: size, time and inode; of a .hdr and .img pair those of both. A file that is not there has one, too. */
export async function fileStamp(path: string): Promise<string> {
  const pair = /^(.*)\.(?:hdr|img)(?:\.gz)?$/is.exec(path)
  const files = pair ? ['.hdr', '.img', '.hdr.gz', '.img.gz'].map((ending) => pair[1] + ending) : [path]
  const stamps = [...new Set([...files, path])].map(async (file) => {
    try {
      const { size, mtimeNs, ino } = await stat(file, { bigint: true })
      return `${size}:${mtimeNs}:${ino}`
    } catch {
      return '' // whoever reads it says why it cannot be read
    }
  })
  return (await Promise.all(stamps)).join(' ')
}
