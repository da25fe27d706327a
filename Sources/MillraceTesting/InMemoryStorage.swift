public import Millrace
internal import StorageIO

/// A disk in memory, for tests that want a store without files.
///
/// A store that was closed on it can be opened on it again.
public final class InMemoryStorage: Sendable {
  private let fileSystem = MemoryFileSystem()

  /// Makes an empty disk.
  public init() {}

  /// Opens the store on this disk, and makes it first if there is none.
  ///
  /// - Parameters:
  ///   - path: where on the disk.
  ///   - configuration: what a new store is made with, and what holds while it is open.
  ///   - access: whether to write, and whether to make what is not there.
  ///   - clock: what the store takes for the time; the system's clock unless given.
  /// - Returns: the open store.
  /// - Throws: ``EventStoreError`` as `EventStore.open(at:configuration:access:)` does.
  public func open(
    at path: String = "/store", configuration: EventStore.Configuration = .init(),
    access: EventStore.Access = .createIfAbsent, clock: ManualClock? = nil
  ) async throws(EventStoreError) -> EventStore {
    let system = EngineEnvironment.system()
    var now = system.now
    var watch = system.watchClocks
    if let clock {
      now = { clock.now }
      watch = { clock.watch($0) }
    }
    return try await EventStore.open(
      at: path, configuration: configuration, access: access,
      environment: EngineEnvironment(
        fileSystem: fileSystem, now: now, random: system.random, watchClocks: watch))
  }
}
