import { appendFileSync, copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { MeshflEvent } from '@meshfl/core'
import { openDataset } from '@meshfl/dataset'
import type { LabelInfo, PageContent, RunState } from '@meshfl/viewer'
import { encodeNifti, parseVolume, readVolume } from '@meshfl/volume'
import { expect, onTestFinished, test } from 'vitest'
import { cli, type RunningCli, startCli, temporaryFolder } from './cli.js'
import { makeDataset, makeSource } from './made-brains.js'

const time = '2026-01-02T03:04:05.000Z'

/** The address, which is the first line. */
async function addressOf({ waitFor, events }: RunningCli): Promise<string> {
  const event = await waitFor(() => true)
  expect(events[0]).toMatchObject({ type: 'view' })
  return event.type === 'view' ? event.url : ''
}

/** As Ctrl-C does, with a connection open. */
async function stop(view: RunningCli, url: string): Promise<void> {
  const idle = connect(Number(new URL(url).port), '127.0.0.1').on('error', () => undefined)
  await new Promise((resolve) => idle.on('connect', resolve))
  view.child.kill('SIGINT')
  const { code, signal, stdout, stderr } = await view.ended
  expect({ code, signal, stderr, lines: stdout.trim().split('\n').length }).toEqual({
    ...{ code: 0, signal: null, stderr: '', lines: 1 },
  })
}

/** Ended with its test, also when that fails. */
function startView(args: readonly string[], env?: NodeJS.ProcessEnv): RunningCli {
  const view = startCli(['view', ...args], env ? { env } : {})
  onTestFinished(() => void view.child.kill('SIGKILL'))
  return view
}

const json = async <T>(url: string): Promise<T> => (await (await fetch(url)).json()) as T
const nifti = async (url: string) =>
  parseVolume(new Uint8Array(await (await fetch(url)).arrayBuffer()), url, { kind: 'image' })

test('a scan with its label map is served to who has the address, until Ctrl-C', async () => {
  const source = await makeSource(1)
  const [scan, label] = ['images', 'labels'].map((folder) => join(source, folder, 'sub-01.nii.gz'))
  const view = startView([scan!, label!, '--classes', 'nothing,white,grey', '--json'])
  const url = await addressOf(view)
  const page = await fetch(url)
  expect(await page.text()).toContain('For research; not a medical device.')
  // What the page loads is in the bundle.
  for (const name of ['viewer-page.js', 'viewer-volume-stage.js', 'page.css']) {
    const asset = await fetch(url + name)
    expect([asset.status, (await asset.text()).length > 1000]).toEqual([200, true])
  }
  expect((await json<PageContent>(`${url}content.json`)).scenes).toMatchObject([
    { title: 'sub-01.nii.gz', labels: [{ classNames: { 0: 'nothing', 1: 'white', 2: 'grey' } }] },
  ])
  const original = await readVolume(scan!, { kind: 'image' })
  const served = await nifti(`${url}scenes/0/image.nii`)
  expect([served.shape, served.voxels]).toEqual([original.shape, original.voxels])
  expect((await fetch(new URL('/', url))).status).toBe(404)
  await stop(view, url)
  await expect(fetch(url)).rejects.toThrow()
})

test('a dataset is served case by case, each with its split and site', async () => {
  const dataset = await makeDataset(2)
  const view = startView([dataset, '--json'])
  const url = await addressOf(view)
  const { kind, scenes } = await json<PageContent>(`${url}content.json`)
  expect([kind, scenes.length]).toEqual(['dataset', 8])
  expect(scenes[0]!.facts).toMatchObject({ split: expect.stringMatching(/train|valid|test/) })
  const { values } = await json<LabelInfo>(`${url}scenes/7/labels/0.json`)
  expect(values.map(({ value }) => value)).toEqual([0, 1, 2])
  await stop(view, url)
})

test('a prediction is there to compare beside the label of its case', async () => {
  const dataset = await makeDataset(1)
  const pred = temporaryFolder('view-pred')
  const nothing = await cli(['view', dataset, '--pred', pred, '--json'])
  expect([nothing.code, nothing.last]).toMatchObject([3, { code: 'VIEW_NO_PREDICTIONS' }])
  const label = (await openDataset(dataset)).cases()[1]!
  copyFileSync(join(dataset, label.label), join(pred, `${label.id}_dseg.nii.gz`))
  const view = startView([dataset, '--pred', pred, '--json'])
  const url = await addressOf(view)
  const { scenes } = await json<PageContent>(`${url}content.json`)
  expect(scenes.map(({ labels }) => labels.map(({ title }) => title))).toEqual([
    ['label'],
    ['label', 'prediction'],
    ['label'],
    ['label'],
  ])
  const [truth, predicted] = await Promise.all([0, 1].map((k) => json<LabelInfo>(`${url}scenes/1/labels/${k}.json`)))
  expect(predicted!.values).toEqual(truth!.values)
  await stop(view, url)
})

test('what was found out about cases that were left out is shown, also below the curves of a run', async () => {
  const dataset = await makeDataset(1)
  const manifest = JSON.parse(readFileSync(join(dataset, 'dataset.json'), 'utf8'))
  const finding = { level: 'error', code: 'LABEL_EMPTY', message: 'sub-99 was left out', subject: 'sub-99' }
  manifest.findings.push(finding, { ...finding, message: 'of a case', subject: manifest.cases[0].subject })
  writeFileSync(join(dataset, 'dataset.json'), JSON.stringify(manifest))
  writeFileSync(join(dataset, 'qc.html'), '<p>qc')
  const run = temporaryFolder('view-run')
  writeFileSync(join(run, 'events.jsonl'), '')
  for (const args of [[dataset], [run, '--data', dataset]]) {
    const view = startView([...args, '--json'])
    const url = await addressOf(view)
    const { notes, documents, scenes } = await json<PageContent>(`${url}content.json`)
    expect(notes).toContain('sub-99 was left out')
    expect(notes).not.toContain('of a case')
    expect(scenes[0]!.notes).toContain('of a case')
    expect(documents.map(({ title }) => title)).toEqual(['quality control'])
    await stop(view, url)
  }
})

test('a run is followed while it goes on, and its reports are there', async () => {
  const run = join(temporaryFolder('view'), 'run')
  mkdirSync(join(run, 'report-test'), { recursive: true })
  writeFileSync(join(run, 'report-test/report.html'), '<p>report')
  const round = (n: number): string => {
    const event: MeshflEvent = {
      ...{ type: 'round-finished', time, round: n, rounds: 3, trainLoss: 1, trainDice: null, validLoss: 1 },
      ...{ validDice: { perClass: { white: 0.5 }, foregroundDice: 0.5 }, parametersSha256: 'x', seconds: 1 },
      secondsLeft: null,
    }
    return `${JSON.stringify(event)}\n`
  }
  writeFileSync(join(run, 'events.jsonl'), round(1))
  const view = startView([run, '--json'])
  const url = await addressOf(view)
  expect((await json<RunState>(`${url}run.json`)).figures.points).toHaveLength(1)
  appendFileSync(join(run, 'events.jsonl'), round(2) + round(3).slice(0, 40))
  expect((await json<RunState>(`${url}run.json`)).figures.points).toHaveLength(2)
  appendFileSync(join(run, 'events.jsonl'), round(3).slice(40))
  expect((await json<RunState>(`${url}run.json`)).figures.points).toHaveLength(3)
  mkdirSync(join(run, 'report-later'))
  writeFileSync(join(run, 'report-later/report.html'), '<p>later')
  const { documents } = await json<RunState>(`${url}run.json`)
  expect(documents.map(({ title }) => title)).toEqual(['report-later', 'report-test'])
  for (const [i, text] of ['<p>later', '<p>report'].entries())
    expect(await (await fetch(url + documents[i]!.href)).text()).toBe(text)
  await stop(view, url)
})

test('what cannot be shown is told before there is a page', async () => {
  const folder = temporaryFolder('view-errors')
  const volume = async (name: string, shape: [number, number, number]): Promise<string> => {
    const path = join(folder, name)
    const affine = [2, 0, 0, 7, 0, 2, 0, 8, 0, 0, 2, 9, 0, 0, 0, 1]
    writeFileSync(path, await encodeNifti({ shape, affine, voxels: new Uint8Array(shape[0] * shape[1] * shape[2]) }))
    return path
  }
  const [scan, other] = [await volume('scan.nii', [4, 4, 4]), await volume('label.nii', [4, 4, 5])]
  const errorOf = async (...args: string[]) => {
    const { code, last } = await cli(['view', ...args, '--json'])
    return [code, last?.type === 'error' ? last.code : last]
  }
  expect(await errorOf(scan, other)).toEqual([3, 'LABEL_GRID_MISMATCH'])
  expect(await errorOf(join(folder, 'gone.nii'))).toEqual([3, 'FILE_NOT_FOUND'])
  expect(await errorOf(folder)).toEqual([2, 'VIEW_SOURCE_UNKNOWN'])
  expect(await errorOf(scan, '--data', folder)).toEqual([2, 'USAGE_OPTION'])
  expect(await errorOf(scan, '--classes', 'a,a')).toEqual([2, 'USAGE_OPTION'])
  expect(await errorOf(scan, '--port', '70000')).toEqual([2, 'USAGE'])
})

test('without --json the address stands alone on the first line, and over ssh the way to it follows', async () => {
  const source = await makeSource(1)
  const scan = join(source, 'images/sub-01.nii.gz')
  const firstLines = async (last: string, args: string[], env: NodeJS.ProcessEnv): Promise<string> => {
    const view = startView([scan, ...args], env)
    await new Promise<void>((resolve) => {
      let text = ''
      view.child.stdout!.on('data', (piece) => {
        text += String(piece)
        if (text.includes(last)) resolve()
      })
    })
    view.child.kill('SIGTERM')
    const { code, stdout } = await view.ended
    expect(code).toBe(0)
    return stdout
  }
  const url = String.raw`http://127\.0\.0\.1:(\d+)/[\w-]{22}/`
  expect(await firstLines('\n', ['--quiet'], {})).toMatch(new RegExp(`^${url}\n$`))
  expect(await firstLines('Ctrl-C ends it\n', [], { SSH_CONNECTION: '10.0.0.1 50000 10.0.0.2 22' })).toMatch(
    new RegExp(String.raw`^${url}\nfrom another machine, first: ssh -N -L \1:127\.0\.0\.1:\1 [^@\n]+@10\.0\.0\.2\n`),
  )
})
