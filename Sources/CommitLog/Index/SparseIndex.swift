internal import EventModel
internal import LogFormat
internal import Synchronization

/// Where batches of one segment stand: at most one entry for each 16 KiB of the file.
///
/// A shortcut and never evidence (I6). The writer of an active segment adds to it while readers
/// search it; a sealed segment's is loaded from its file on first use. Where entries are missing,
/// readers walk the segment from the last one before.
package final class SparseIndex: Sendable {
  /// File bytes that one entry stands for, at least: a full batch takes more of them, so that a
  /// seek by time decodes no batch in vain.
  static let spacing: UInt64 = 16 << 10

  private struct Contents {
    var entries: [IndexEntry] = []
    var isLoaded = false
    /// Entries that the index file holds.
    var storedCount = 0
  }

  private let contents: Mutex<Contents>

  init() { contents = Mutex(Contents()) }

  init(entries: [IndexEntry], storedCount: Int) {
    contents = Mutex(Contents(entries: entries, isLoaded: true, storedCount: storedCount))
  }

  /// Adds a batch if the last entry is far enough away.
  func note(_ entry: IndexEntry) {
    contents.withLock { contents in
      if let last = contents.entries.last, entry.position < last.position + Self.spacing { return }
      contents.entries.append(entry)
    }
  }

  /// Whether there is nothing to be read from the index's file.
  var isReady: Bool { contents.withLock { $0.isLoaded || !$0.entries.isEmpty } }

  /// Takes over what was read from the index's file, once.
  func load(_ read: () -> [IndexEntry]) {
    if isReady { return }
    let entries = read()
    contents.withLock { contents in
      guard !contents.isLoaded, contents.entries.isEmpty else { return }
      contents.entries = entries
      contents.storedCount = entries.count
      contents.isLoaded = true
    }
  }

  /// The last entry at or before a number, and where the one behind it stands.
  func entry(atOrBefore number: UInt64) -> (IndexEntry, following: UInt64?)? {
    last { $0.baseNumber <= number }
  }

  /// The last entry whose batch begins before a time.
  func entry(before time: Timestamp) -> IndexEntry? {
    last { $0.baseTime < time }?.0
  }

  private func last(
    where matches: (IndexEntry) -> Bool
  ) -> (IndexEntry, following: UInt64?)? {
    contents.withLock { contents in
      var low = 0
      var high = contents.entries.count
      while low < high {
        let middle = (low + high) / 2
        if matches(contents.entries[middle]) { low = middle + 1 } else { high = middle }
      }
      guard low > 0 else { return nil }
      let following = low < contents.entries.count ? contents.entries[low].position : nil
      return (contents.entries[low - 1], following)
    }
  }

  /// Entries of durable batches that the file does not hold yet, once there are enough to be worth
  /// a write, and how many the file holds.
  func unstored(below position: Int, atLeast count: Int) -> (stored: Int, entries: [IndexEntry])? {
    contents.withLock { contents in
      let rest = contents.entries[contents.storedCount...].prefix {
        $0.position < UInt64(position)
      }
      return rest.isEmpty || rest.count < count ? nil : (contents.storedCount, Array(rest))
    }
  }

  func confirmStored(_ count: Int) {
    contents.withLock { $0.storedCount = count }
  }
}
