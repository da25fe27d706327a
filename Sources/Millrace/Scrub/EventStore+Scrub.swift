public import EventModel

/// What one reading of a whole store has found.
public struct ScrubReport: Hashable, Sendable {
  /// Bytes of the batches and of the other files that were read and whose checksums hold.
  public internal(set) var bytesRead: ByteCount = .zero
  /// Records in the batches.
  public internal(set) var eventCount = 0
  /// What is damaged or gone and was not known to be; at most a thousand places.
  ///
  /// `millrace fsck --repair` sets right what can be set right.
  public internal(set) var damages: [Gap] = []
  /// Files besides the logs that are damaged, by their names within the store: the manifest, the
  /// consumer groups' checkpoints, queue files and their directory; at most a thousand.
  ///
  /// `millrace fsck` says what each of them has lost, if anything.
  public internal(set) var damagedFiles: [String] = []

  /// Entries of each kind; a store that is wrong all over is described by these.
  static let damageCountMax = 1_000

  mutating func note(_ gap: Gap) {
    if damages.count < Self.damageCountMax { damages.append(gap) }
  }

  mutating func note(_ file: String) {
    if damagedFiles.count < Self.damageCountMax { damagedFiles.append(file) }
  }
}

extension EventStore {
  /// Reads everything that is durable, events, feedback, dead letters, the queues and the store's
  /// own files, and checks it, so that damage is found before a reader meets it.
  ///
  /// A store that is open for writing does so by itself once a day, at
  /// ``Configuration/scrubRate``, and tells damage to its log and its metrics. Cancelling the task
  /// ends the reading early; what was found until then is returned.
  ///
  /// - Parameter rate: bytes a second; as fast as the disk gives them unless given.
  /// - Returns: what was read, and what is wrong with it.
  /// - Throws: ``EventStoreError`` with `ioFailure` or `closed`.
  public func scrub(rate: ByteCount? = nil) async throws(EventStoreError) -> ScrubReport {
    try source.refresh()
    let source = source
    let pass = ScrubPass(source)
    while !Task.isCancelled {
      let size = try await source.readers.offload { () throws(EventStoreError) in
        try pass.step(1 << 20, of: source)
      }
      guard let size else { break }
      guard let rate, rate > .zero else { continue }
      do {
        try await Task.sleep(for: .seconds(Double(size) / Double(rate.bytes)))
      } catch {
        break
      }
    }
    return pass.report
  }
}
