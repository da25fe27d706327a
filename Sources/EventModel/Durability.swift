/// How far an event must have come before an append returns.
///
/// Readers see it only once it is durable, whatever was asked for.
public enum Durability: Hashable, Sendable, CaseIterable {
  /// On the disk: survives a power failure.
  case durable
  /// With the operating system: survives a crash of the process, not of the machine. Synced in the
  /// background within 100 ms or 8 MiB.
  case written
  /// In the store's memory: written and synced in the background within 100 ms or 8 MiB.
  case buffered
}
