import Millrace

/// Where tasks that follow one partition each hand over what comes, one batch at a time.
actor TailMailbox {
  /// A batch, and the task that waits for leave to go on.
  struct Delivery: Sendable {
    let slot: Int
    let batch: EventBatch
    fileprivate let continuation: CheckedContinuation<Bool, Never>

    /// Lets the task go on or ends it.
    func settle(goesOn: Bool) { continuation.resume(returning: goesOn) }
  }

  private var deliveries: [Delivery] = []
  private var receiver: CheckedContinuation<Void, Never>?
  private var openCount: Int
  private var isStopped = false
  private var failure: (any Error)?

  init(slotCount: Int) { openCount = slotCount }

  /// Hands a batch over and waits until it is printed; false if no more are wanted.
  func deliver(_ batch: EventBatch, slot: Int) async -> Bool {
    guard !isStopped else { return false }
    return await withCheckedContinuation { continuation in
      deliveries.append(Delivery(slot: slot, batch: batch, continuation: continuation))
      wakeReceiver()
    }
  }

  /// A partition has no more, or failed.
  func finish(_ failure: (any Error)? = nil) {
    openCount -= 1
    self.failure = self.failure ?? failure
    wakeReceiver()
  }

  /// Ends the reading.
  func stop() {
    isStopped = true
    wakeReceiver()
  }

  /// What has come, in the order of partitions; empty at the end.
  func receive() async throws -> [Delivery] {
    while true {
      if let failure { throw failure }
      guard !isStopped else { return [] }
      if !deliveries.isEmpty {
        defer { deliveries = [] }
        return deliveries.sorted { $0.slot < $1.slot }
      }
      guard openCount > 0 else { return [] }
      await withCheckedContinuation { receiver = $0 }
    }
  }

  /// Ends every task that still waits.
  func close() {
    isStopped = true
    for delivery in deliveries { delivery.settle(goesOn: false) }
    deliveries = []
  }

  private func wakeReceiver() {
    receiver.take()?.resume()
  }
}
