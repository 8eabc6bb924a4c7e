// React chooses its build when it is first loaded; its development build is slower and keeps more.
process.env.NODE_ENV ??= 'production'

export {}
