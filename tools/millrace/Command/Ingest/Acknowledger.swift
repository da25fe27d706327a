import Millrace

/// Makes groups durable, one after another, and says so in the ack log.
///
/// What waits is taken together: the slower the disk, the larger the groups.
struct Acknowledger: ~Copyable {
  private let store: EventStore
  private let queue: AckQueue
  private var log: AckLog?

  init(_ store: EventStore, _ queue: AckQueue, _ log: consuming AckLog?) {
    self.store = store
    self.queue = queue
    self.log = log
  }

  /// Works until the queue is closed.
  ///
  /// A failure goes to whoever fills the queue.
  mutating func run() async {
    while true {
      let groups = await queue.take()
      guard var group = groups.first else { return }
      group.merge(groups.dropFirst())
      do {
        try await makeDurable(group)
        try log?.append(group)
      } catch {
        queue.fail(error)
        return
      }
      queue.release(groups.count)
    }
  }

  private func makeDurable(_ group: AckGroup) async throws {
    let store = store
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      for (partition, offset) in group.ends {
        tasks.addTask {
          try await store.durable(upTo: LogPosition(partition: partition, offset: offset))
        }
      }
      try await tasks.waitForAll()
    }
  }
}
