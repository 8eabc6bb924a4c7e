import { Niivue, SHOW_RENDER, SLICE_TYPE } from '@niivue/niivue'
import { labelColourTable } from '../label-colour-table.js'

/** Where the crosshair is. */
export interface CrosshairPlace {
  /** RAS, millimetres. */
  mm: [number, number, number]
  value: number | undefined
  /** In the label maps, in their order: the place of the value in its list. */
  ranks: (number | undefined)[]
}

/** A label map: for each voxel the place of its value in a list, and the colours of places 1 and on. */
interface StageLabel {
  nifti: ArrayBuffer
  colours: readonly string[]
}

export type StageView = 'all' | 'axial' | 'coronal' | 'sagittal'

/** The canvas that NiiVue draws on. */
export interface VolumeStage {
  /** Takes the place of what was shown before. */
  show(image: ArrayBuffer, labels: readonly StageLabel[]): Promise<void>
  clear(): Promise<void>
  /** How much each label map covers, 0 to 1. */
  setOpacities(opacities: readonly number[]): void
  setView(view: StageView): void
  /** Whether the patient's left is on the right. */
  setRadiological(on: boolean): void
  /** Steps in voxels of the scan: right, anterior, superior. */
  move(x: number, y: number, z: number): void
}

const VIEWS: Record<StageView, SLICE_TYPE> = {
  all: SLICE_TYPE.MULTIPLANAR,
  axial: SLICE_TYPE.AXIAL,
  coronal: SLICE_TYPE.CORONAL,
  sagittal: SLICE_TYPE.SAGITTAL,
}

/** @throws Error where the browser has no WebGL2 */
export async function openVolumeStage(
  canvas: HTMLCanvasElement,
  onCrosshair: (place: CrosshairPlace) => void,
): Promise<VolumeStage> {
  if (document.createElement('canvas').getContext('webgl2') === null)
    throw new Error('this browser has no WebGL2, with which the volumes are drawn')
  const viewer = new Niivue({
    backColor: [0, 0, 0, 1],
    crosshairColor: [0.85, 0.35, 0.3, 0.8],
    crosshairWidth: 0.5,
    crosshairWidthUnit: 'percent',
    isCornerOrientationText: true,
    fontColor: [0.78, 0.82, 0.85, 1],
    show3Dcrosshair: true,
    multiplanarShowRender: SHOW_RENDER.NEVER,
    isNearestInterpolation: true,
    isSliceMM: true,
    isForceMouseClickToVoxelCenters: true,
    dragAndDropEnabled: false,
    loadingText: '',
    logLevel: 'error',
    isColorbar: false,
    isOrientCube: false,
    // The page has keys of its own.
    clipPlaneHotKey: '',
    cycleClipPlaneHotKey: '',
    viewModeHotKey: '',
  })
  viewer.onLocationChange = (raw) => {
    const { mm, values } = raw as { mm: ArrayLike<number>; values: { value: number }[] }
    onCrosshair({
      mm: [mm[0] ?? 0, mm[1] ?? 0, mm[2] ?? 0],
      value: values[0]?.value,
      ranks: values.slice(1).map(({ value }) => value),
    })
  }
  await viewer.attachToCanvas(canvas)
  viewer.setSliceType(SLICE_TYPE.MULTIPLANAR)
  const clear = (): void => {
    for (const volume of [...viewer.volumes].reverse()) viewer.removeVolume(volume)
  }
  const show = async (image: ArrayBuffer, labels: readonly StageLabel[]): Promise<void> => {
    clear()
    // By name as by its bytes NiiVue tells what it is.
    await viewer.loadFromArrayBuffer(image, 'image.nii')
    for (const [i, { nifti, colours }] of labels.entries()) {
      await viewer.loadFromArrayBuffer(nifti, `label-${i}.nii`)
      viewer.volumes.at(-1)!.setColormapLabel(labelColourTable(colours))
    }
    viewer.updateGLVolume()
    // To the middle of a voxel: between two, the place that is told and the value might be of different ones.
    viewer.moveCrosshairInVox(0, 0, 0)
  }
  let working = Promise.resolve()
  /** One after the other: whoever leafs through the cases has the next one come while this one is loaded. */
  const inTurn = (work: () => void | Promise<void>): Promise<void> => {
    working = working.catch(() => undefined).then(work)
    return working
  }
  return {
    show: (image, labels) => inTurn(() => show(image, labels)),
    clear: () => inTurn(clear),
    setOpacities(opacities) {
      for (const [i, opacity] of opacities.entries()) if (viewer.volumes[i + 1]) viewer.setOpacity(i + 1, opacity)
    },
    setView: (view) => viewer.setSliceType(VIEWS[view]),
    setRadiological: (on) => viewer.setRadiologicalConvention(on),
    move(x, y, z) {
      // Without a scan there is no voxel to step to, and NiiVue throws.
      if (viewer.volumes.length > 0) viewer.moveCrosshairInVox(x, y, z)
    },
  }
}
