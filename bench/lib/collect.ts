// Loaded into a process whose memory is measured: told to, it collects its garbage.
process.on('SIGUSR2', () => Bun.gc(true))
