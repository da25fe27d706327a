internal import CommitLog
internal import EventModel
internal import Synchronization

/// Reads and decodes batches of one partition a little ahead of their consumer, on a thread of the
/// store's: the consumer suspends instead of waiting for the disk.
final class ReadAhead: Work {
  /// Decoded batches that may wait: enough to hide a thread switch, few enough to bound memory.
  private static let countMax = 4

  enum Next: Sendable {
    case item(CursorItem)
    /// Everything below the high watermark has been read.
    case atTail(UInt64)
    /// Everything that was asked for has been read.
    case end
    case failed(EventStoreError)
  }

  private struct State {
    var ready: [CursorItem] = []
    /// Why the reader stopped, until the consumer has seen it.
    var stop: Next?
    var isReading = false
    var waiting: Suspension<Next>?
  }

  private let source: any ReadSource
  private let cursor: Mutex<BatchCursor>
  private let limit: UInt64
  private let state: Mutex<State>

  init(_ source: any ReadSource, cursor: sending BatchCursor, limit: UInt64) {
    self.source = source
    self.cursor = Mutex(cursor)
    self.limit = limit
    state = Mutex(State())
  }

  /// The next item. One consumer at a time.
  func next() async -> Next {
    let (known, mustRead) = state.withLock { state in advance(&state) }
    if mustRead { source.readers.submit(self) }
    if let known { return known }
    return await Suspension.suspend { suspension in
      let known = state.withLock { state -> Next? in
        let (known, _) = advance(&state)
        if known == nil { state.waiting = suspension }
        return known
      }
      if let known { suspension.resume(known) }
    }
  }

  /// Takes what is ready, and says whether the reader must be started.
  private func advance(_ state: inout State) -> (Next?, Bool) {
    if !state.ready.isEmpty {
      let item = state.ready.removeFirst()
      let mustRead =
        !state.isReading && state.stop == nil && state.ready.count <= Self.countMax / 2
      if mustRead { state.isReading = true }
      return (.item(item), mustRead)
    }
    if let stop = state.stop {
      // At the tail the next call looks again; an end and a failure stay.
      if case .atTail = stop { state.stop = nil }
      return (stop, false)
    }
    if state.isReading { return (nil, false) }
    state.isReading = true
    return (nil, true)
  }

  func run() {
    while true {
      let next = read()
      let (consumer, goesOn) = state.withLock {
        state -> (Suspension<Next>?, Bool) in
        var goesOn = false
        if let consumer = state.waiting.take() {
          if case .item = next { goesOn = true } else { state.stop = next.staying }
          state.isReading = goesOn
          return (consumer, goesOn)
        }
        if case .item(let item) = next {
          state.ready.append(item)
          goesOn = state.ready.count < Self.countMax
        } else {
          state.stop = next
        }
        state.isReading = goesOn
        return (nil, goesOn)
      }
      consumer?.resume(next)
      guard goesOn else { return }
    }
  }

  private func read() -> Next {
    cursor.withLock { cursor in
      guard cursor.next < limit else { return .end }
      do throws(CommitLogFailure) {
        guard let item = try cursor.read() else { return .atTail(cursor.next) }
        return .item(item)
      } catch {
        return .failed(EventStoreError(error))
      }
    }
  }
}

extension ReadAhead.Next {
  /// What a stop means for the next call: the tail moves, the rest stays as it is.
  fileprivate var staying: Self? {
    if case .atTail = self { nil } else { self }
  }
}
