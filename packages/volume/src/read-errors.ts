import { MeshflError } from '@meshfl/core'

export function notRecognized(name: string, why: string): MeshflError {
  return new MeshflError('VOLUME_NOT_RECOGNIZED', `${name} is not a volume that can be read: ${why}`, {
    hint: 'give a NIfTI file (.nii, .nii.gz, .hdr with .img) or a FreeSurfer file (.mgh, .mgz)',
    data: { name },
  })
}

export function unsupportedType(name: string, what: string): MeshflError {
  return new MeshflError(
    'VOLUME_TYPE_UNSUPPORTED',
    `${name} holds ${what}; an image or a label has one real number per voxel`,
    {
      hint: 'convert it to an integer or float type, for instance with nibabel or mri_convert',
      data: { name, type: what },
    },
  )
}

export function truncated(name: string, have: number, need: number): MeshflError {
  return new MeshflError(
    'VOLUME_TRUNCATED',
    `${name} ends too early: it has ${have} bytes where its header asks for ${need}`,
    {
      hint: 'copy or download the file again; it was cut short',
      data: { name, have, need },
    },
  )
}

export function tooLarge(name: string, bytes: number): MeshflError {
  return new MeshflError('VOLUME_TOO_LARGE', `${name} is too large to be read at once (${bytes} bytes)`, {
    hint: 'split off the volume that you need into a file of its own, for instance with fslroi or nibabel',
    data: { name, bytes },
  })
}
