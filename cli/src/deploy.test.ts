import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { lockFolder } from '@meshfl/core'
import { describe, expect, test } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { buildProgram } from './program.js'

const deploy = fileURLToPath(new URL('../../deploy', import.meta.url))
const read = (path: string): string => readFileSync(join(deploy, path), 'utf8')
const has = (program: string): boolean => spawnSync(program, ['--version']).error === undefined

/** Every command line of meshfl in the files, as words. */
function commandLines(): [file: string, words: string[]][] {
  const found: [string, string[]][] = []
  for (const entry of readdirSync(deploy, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name).slice(deploy.length + 1)
    const text = readFileSync(join(deploy, path), 'utf8')
    if (/\.yaml$/.test(path)) {
      for (const document of parseAllDocuments(text)) {
        const json = document.toJSON()
        for (const container of json.spec?.template?.spec?.containers ?? []) found.push([path, container.args])
      }
    }
    for (const [, line] of text.matchAll(/^(?:ExecStart=\S*)?meshfl ((?:serve|join) .*?)&?$/gm))
      found.push([
        path,
        line!
          .replace(/\$\{PROXY:\+(.*?)\}/, '$1')
          .split(/\s+/)
          .filter(Boolean),
      ])
  }
  return found
}

describe('what deploy/ starts', () => {
  const lines = commandLines()

  test('is found in every kind of file', () => {
    expect(new Set(lines.map(([file]) => file))).toEqual(
      new Set([
        'kubernetes/coordinator.yaml',
        'kubernetes/site.yaml',
        'slurm/join.sbatch',
        'systemd/meshfl-join.service',
        'systemd/meshfl-serve.service',
      ]),
    )
  })

  test.each(lines)('%s uses a command and options that exist, with all that it requires', (_, [name, ...words]) => {
    const command = buildProgram().commands.find((one) => one.name() === name)!
    const used = words.flatMap((word) => /^(--[a-z-]+)/.exec(word)?.[1] ?? [])
    const known = command.options.map(({ long }) => long)
    expect(used.filter((option) => !known.includes(option))).toEqual([])
    const required = command.options.filter(({ mandatory }) => mandatory).map(({ long }) => long)
    expect(required.filter((option) => !used.includes(option!))).toEqual([])
  })
})

test('the Kubernetes manifests name ports, volumes and selectors that they define', () => {
  for (const file of ['kubernetes/coordinator.yaml', 'kubernetes/site.yaml']) {
    const documents = parseAllDocuments(read(file)).map((document) => {
      expect(document.errors).toEqual([])
      return document.toJSON()
    })
    const workload = documents.find(({ kind }) => kind === 'StatefulSet' || kind === 'Job')
    const { containers, volumes } = workload.spec.template.spec
    const claims = (workload.spec.volumeClaimTemplates ?? []).map((claim: { metadata: object }) => claim.metadata)
    const names = [...volumes, ...claims].map(({ name }: { name: string }) => name)
    for (const { name } of containers[0].volumeMounts) expect(names).toContain(name)
    const ports = (containers[0].ports ?? []).map(({ name }: { name: string }) => name)
    for (const service of documents.filter(({ kind }) => kind === 'Service')) {
      for (const { targetPort } of service.spec.ports) expect(ports).toContain(targetPort)
      expect(workload.spec.template.metadata.labels).toMatchObject(service.spec.selector)
    }
  }
})

test.each([
  ['coordinator.yaml', '/state/run'],
  ['site.yaml', '/state'],
])(
  'the liveness probe of %s lets live whoever touches the lock of its folder, and nobody else',
  async (file, folder) => {
    const workload = parseAllDocuments(read(`kubernetes/${file}`))
      .map((document) => document.toJSON())
      .find(({ kind }) => kind === 'StatefulSet' || kind === 'Job')
    const [program, ...args] = workload.spec.template.spec.containers[0].livenessProbe.exec.command as string[]
    const ours = mkdtempSync(join(tmpdir(), 'meshfl-probe-'))
    const isAlive = (): boolean =>
      spawnSync(
        program!,
        args.map((word) => word.replace(`${folder}/`, `${ours}/`)),
      ).status === 0
    expect(isAlive()).toBe(false)
    const lock = await lockFolder(ours)
    expect(isAlive()).toBe(true)
    const past = Date.now() / 1000 - 200
    utimesSync(join(ours, '.lock'), past, past)
    expect(isAlive()).toBe(false)
    lock.release()
  },
)

test('the systemd units are well-formed', (context) => {
  if (!has('systemd-analyze')) return context.skip('systemd-analyze is not on this machine')
  const folder = mkdtempSync(join(tmpdir(), 'meshfl-units-'))
  for (const name of readdirSync(join(deploy, 'systemd'))) {
    // The program that a unit starts must exist for it to be verified.
    const unit = read(`systemd/${name}`).replace('/usr/local/bin/meshfl', process.execPath)
    writeFileSync(join(folder, name), unit)
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', join(folder, name)], { encoding: 'utf8' })
    expect(`${status} ${stderr}`).toBe('0 ')
  }
})

describe('the Slurm script', () => {
  /** Runs it with programs of ours in place of meshfl and scontrol; gives its status and what they were called with. */
  async function run(meshfl: string, interrupt = false): Promise<{ status: number | null; calls: string[] }> {
    const folder = mkdtempSync(join(tmpdir(), 'meshfl-slurm-'))
    const calls = join(folder, 'calls')
    const program = (name: string, script: string): void => {
      writeFileSync(join(folder, name), `#!/bin/bash\necho "${name} $*" >> ${calls}\n${script}\n`)
      chmodSync(join(folder, name), 0o755)
    }
    program('meshfl', meshfl)
    program('scontrol', '')
    const env = { INVITE: '/i', DATASET: '/data', STATE: '/state', PROXY: 'http://p:1', SLURM_JOB_ID: '7' }
    const child = spawn('bash', [join(deploy, 'slurm/join.sbatch')], {
      env: { ...env, SLURM_CPUS_PER_TASK: '4', PATH: `${folder}:${process.env.PATH}` },
    })
    const ended = once(child, 'close')
    if (interrupt) {
      while (!existsSync(join(folder, 'ready'))) await new Promise((resolve) => setTimeout(resolve, 20))
      child.kill('SIGTERM')
    }
    const [status] = await ended
    return { status, calls: readFileSync(calls, 'utf8').trim().split('\n') }
  }
  const JOIN = 'meshfl join @/i --data /data --out /state --threads 4 --proxy http://p:1'

  test('ends as the site does', async () => {
    expect(await run('exit 0')).toEqual({ status: 0, calls: [JOIN] })
    expect(await run('exit 3')).toEqual({ status: 3, calls: [JOIN] })
  })

  test('passes the signal of Slurm on, waits for the site, and goes back to the queue', async () => {
    const site =
      'trap "sleep 0.2; exit 130" TERM; touch "$(dirname "$0")/ready"; for i in $(seq 1 600); do sleep 0.1; done'
    expect(await run(site, true)).toEqual({ status: 130, calls: [JOIN, 'scontrol requeue 7'] })
  })

  test('is bash without faults', () => {
    execFileSync('bash', ['-n', join(deploy, 'slurm/join.sbatch')])
  })
})
