internal import EventModel

extension EngineEnvironment {
  /// The operating system's files, wall clock and random numbers.
  package static func system() -> EngineEnvironment {
    EngineEnvironment(
      fileSystem: SystemFileSystem(),
      now: { Timestamp(microseconds: SystemCalls.wallClockMicroseconds()) },
      steady: { SystemCalls.steadyClockMicroseconds() },
      random: {
        var generator = SystemRandomNumberGenerator()
        return generator.next()
      })
  }
}
