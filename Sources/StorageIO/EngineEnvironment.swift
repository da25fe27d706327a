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
  /// 64 random bits: ids, salts and epoch keys.
  package let random: @Sendable () -> UInt64

  package init(
    fileSystem: any FileSystem, now: @escaping @Sendable () -> Timestamp,
    random: @escaping @Sendable () -> UInt64
  ) {
    self.fileSystem = fileSystem
    self.now = now
    self.random = random
  }
}
