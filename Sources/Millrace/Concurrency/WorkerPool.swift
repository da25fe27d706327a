/// Something that a worker runs.
///
/// Kept alive by the queue.
protocol Work: AnyObject, Sendable {
  func run()
}

/// Threads of ours that take work from one queue: no cooperative thread ever waits for a disk.
final class WorkerPool: Sendable {
  private struct Queue {
    var work: [any Work] = []
    var head = 0
    var isStopped = false
  }

  private let queue = Gate(Queue())
  private let threads: [EngineThread]

  init(threadCount: Int) {
    let queue = queue
    threads = (0..<threadCount).map { _ in
      EngineThread {
        while let work = Self.next(queue) { work.run() }
      }
    }
  }

  /// Runs something soon, on one of the threads.
  ///
  /// - Returns: false once the pool has been stopped: then nobody will.
  @discardableResult
  func submit(_ work: any Work) -> Bool {
    queue.updateOne { queue in
      guard !queue.isStopped else { return false }
      queue.work.append(work)
      return true
    }
  }

  /// Whether it takes no more work.
  var isStopped: Bool { queue.wait { (queue, _) in queue.isStopped } }

  private static func next(_ queue: Gate<Queue>) -> (any Work)? {
    queue.wait { (queue, _) -> (any Work)?? in
      if queue.head < queue.work.count {
        let work = queue.work[queue.head]
        queue.head += 1
        if queue.head == queue.work.count {
          queue.work.removeAll(keepingCapacity: true)
          queue.head = 0
        }
        return .some(work)
      }
      return queue.isStopped ? .some(nil) : nil
    }
  }

  /// Ends the threads once the queue is empty, and waits for them.
  ///
  /// Not from one of them.
  func stop() {
    let isFirst = queue.update { queue in
      defer { queue.isStopped = true }
      return !queue.isStopped
    }
    guard isFirst else { return }
    for thread in threads { thread.join() }
  }

  /// Runs a blocking call on a thread of ours and waits for its result without blocking.
  ///
  /// - Throws: what the call throws, or `closed` once the pool has been stopped.
  func offload<Result: Sendable>(
    _ body: @escaping @Sendable () throws(EventStoreError) -> Result
  ) async throws(EventStoreError) -> Result {
    let outcome = await Suspension<Swift.Result<Result, EventStoreError>>.suspend { suspension in
      let call = Call {
        do throws(EventStoreError) {
          suspension.resume(.success(try body()))
        } catch {
          suspension.resume(.failure(error))
        }
      }
      if !submit(call) { suspension.resume(.failure(.isClosed)) }
    }
    return try outcome.get()
  }

  private final class Call: Work {
    private let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) { self.body = body }

    func run() { body() }
  }
}
