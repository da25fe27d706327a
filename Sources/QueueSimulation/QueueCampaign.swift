package import SimulationKit
package import StorageIO

/// Runs the operations that seeds determine against the queues of a store and a plain model.
package struct QueueCampaign: Sendable {
  /// Operations of each seed.
  package static let operationCount = 1_000
  /// How many sequences are tried before the shortest so far has to do.
  static let trialCountMax = 300

  /// A fault of the store that a test of the campaign puts in.
  package enum Sabotage: Hashable, Sendable, CaseIterable {
    /// Some completions are acknowledged and never happen.
    case droppedCompletions
    /// Messages are delivered in the wrong order.
    case reversedDeliveries
  }

  /// A sequence in which the store is not what the model says.
  package struct Failure: Error, CustomStringConvertible {
    package let seed: UInt64
    /// The shortest part of the seed's operations that was found to fail.
    package let operations: [QueueOperation]
    package let violation: String
    /// What was found before shrinking, and by which operation.
    let original: QueueRun.Failure

    package var description: String {
      let steps = operations.map { "  \($0)\n" }.joined()
      return "seed \(seed), operation \(original.operation): \(original.violation)\n"
        + "shrunk to \(operations.count) operations: \(violation)\n\(steps)"
        + "replay: swift run -c release torture --queue-seed \(seed)"
    }
  }

  /// What the store runs on: the disk, unless a test of the campaign itself puts something in
  /// between.
  package var wrapping: @Sendable (SimulatedDisk) -> any FileSystem = { $0 }
  package var sabotage: Sabotage?

  package init() {}

  /// Runs a seed's operations.
  ///
  /// - Returns: what the run came to.
  /// - Throws: ``Failure`` with as few of them as it takes.
  package func run(seed: UInt64) async throws(Failure) -> QueueCoverage {
    let operations = QueueOperation.sequence(seed: seed, count: Self.operationCount)
    do throws(QueueRun.Failure) {
      return try await QueueRun(seed: seed, campaign: self).run(operations)
    } catch {
      throw await shrink(operations, error, seed: seed)
    }
  }

  /// Makes a failing sequence of operations as short as deleting parts of it can.
  private func shrink(
    _ all: [QueueOperation], _ original: QueueRun.Failure, seed: UInt64
  ) async -> Failure {
    var operations = Array(all.prefix(original.operation + 1))
    var violation = original.violation
    var size = max(1, operations.count / 2)
    var start = 0
    for _ in 0..<Self.trialCountMax {
      if start >= operations.count {
        if size == 1 { break }
        size = max(1, size / 2)
        start = 0
      }
      var candidate = operations
      candidate.removeSubrange(start..<min(start + size, candidate.count))
      do throws(QueueRun.Failure) {
        _ = try await QueueRun(seed: seed, campaign: self).run(candidate)
        start += size
      } catch {
        // What stands behind the operation that fails has no part in it.
        operations = Array(candidate.prefix(error.operation + 1))
        violation = error.violation
      }
    }
    return Failure(
      seed: seed, operations: operations, violation: violation, original: original)
  }
}
