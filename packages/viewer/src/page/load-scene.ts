import type { ImageInfo, LabelInfo, PageScene } from '../page-data.js'
import { fetchBytes, fetchJson } from './fetch-data.js'

/** A label map that was loaded. */
export interface ShownMap {
  title: string
  classNames: Readonly<Record<number, string>>
  /** Among the label maps of its scene, those included that could not be loaded. */
  place: number
  info: LabelInfo
  nifti: ArrayBuffer
}

interface LoadedScene {
  image: ImageInfo
  nifti: ArrayBuffer
  maps: ShownMap[]
  /** What is to be said of the label maps that could not be loaded. */
  faults: string[]
}

/**
 * Loads a scan and its label maps. A label map that cannot be read leaves the scan and the others to be seen.
 * @throws ServerError where the scan cannot be read
 */
export async function loadScene(scene: PageScene, path: string, signal: AbortSignal): Promise<LoadedScene> {
  const [[image, nifti], settled] = await Promise.all([
    load<ImageInfo>(`${path}/image`, signal),
    Promise.allSettled(
      scene.labels.map(async (label, place): Promise<ShownMap> => {
        const [info, nifti] = await load<LabelInfo>(`${path}/labels/${place}`, signal)
        return { ...label, place, info, nifti }
      }),
    ),
  ])
  return {
    image,
    nifti,
    maps: settled.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])),
    faults: settled.flatMap((one, k) =>
      one.status === 'fulfilled' ? [] : [`${scene.labels[k]!.title} cannot be shown: ${(one.reason as Error).message}`],
    ),
  }
}

async function load<Info extends ImageInfo>(name: string, signal: AbortSignal): Promise<[Info, ArrayBuffer]> {
  const [info, { bytes, etag }] = await Promise.all([
    fetchJson<Info>(`${name}.json`, signal),
    fetchBytes(`${name}.nii`, signal),
  ])
  // The voxels of one content with the values of another would be told as the wrong classes.
  if (etag !== `"${info.version}"`) throw new Error('the file was written anew while it was read; open it again')
  return [info, bytes]
}
