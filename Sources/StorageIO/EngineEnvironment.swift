package import EventModel

/// Everything the engine takes from outside: files, time and chance.
///
/// Handed over at open, so that a seed replays a whole run.
package struct EngineEnvironment: Sendable {
  package let fileSystem: any FileSystem
  /// Wall-clock time.
  ///
  /// May step back; the engine keeps enqueue times monotonic by itself.
  package let now: @Sendable () -> Timestamp
  /// Microseconds of a clock that nobody sets, from any beginning.
  package let steady: @Sendable () -> Int64
  /// 64 random bits: ids, salts and epoch keys.
  package let random: @Sendable () -> UInt64
  /// Has somebody told each time that the clocks were set, until they say that they have gone; does
  /// nothing for clocks that go by themselves.
  package let watchClocks: @Sendable (@escaping @Sendable () -> Bool) -> Void

  /// - Parameters:
  ///   - fileSystem: the files.
  ///   - now: the clock on the wall.
  ///   - steady: the steady clock; the one on the wall unless given, for simulated time.
  ///   - random: chance.
  ///   - watchClocks: tells of clocks that a test sets.
  package init(
    fileSystem: any FileSystem, now: @escaping @Sendable () -> Timestamp,
    steady: (@Sendable () -> Int64)? = nil, random: @escaping @Sendable () -> UInt64,
    watchClocks: @escaping @Sendable (@escaping @Sendable () -> Bool) -> Void = { _ in }
  ) {
    self.fileSystem = fileSystem
    self.now = now
    self.steady = steady ?? { now().microseconds }
    self.random = random
    self.watchClocks = watchClocks
  }
}
