package import StorageIO

/// Runs the operations that seeds determine against the engine and a plain model of it.
package struct ModelCampaign: Sendable {
  /// Operations of each seed.
  package static let operationCount = 2_000

  /// A sequence in which the engine is not what the model says.
  package struct Failure: Error, CustomStringConvertible {
    package let seed: UInt64
    /// The shortest part of the seed's operations that was found to fail.
    package let operations: [ModelOperation]
    package let violation: String
    /// What was found before shrinking, and by which operation.
    let original: ModelRun.Failure

    package var description: String {
      let steps = operations.map { "  \($0)\n" }.joined()
      return "seed \(seed), operation \(original.operation): \(original.violation)\n"
        + "shrunk to \(operations.count) operations: \(violation)\n\(steps)"
        + "replay: swift run -c release torture --model-seed \(seed)"
    }
  }

  /// What the engine runs on: the disk, unless a test of the campaign itself puts something in
  /// between.
  package var wrapping: @Sendable (SimulatedDisk) -> any FileSystem = { $0 }

  package init() {}

  /// Runs a seed's operations.
  ///
  /// - Returns: what the run came to.
  /// - Throws: ``Failure`` with as few of them as it takes.
  package func run(seed: UInt64) throws(Failure) -> ModelCoverage {
    let operations = ModelOperation.sequence(seed: seed, count: Self.operationCount)
    do throws(ModelRun.Failure) {
      return try ModelRun(seed: seed, wrapping: wrapping).run(operations)
    } catch {
      let shrinking = ModelShrinking(operations, error) { failure(of: $0, seed: seed) }
      throw Failure(
        seed: seed, operations: shrinking.operations, violation: shrinking.failure.violation,
        original: error)
    }
  }

  private func failure(of operations: [ModelOperation], seed: UInt64) -> ModelRun.Failure? {
    do throws(ModelRun.Failure) {
      _ = try ModelRun(seed: seed, wrapping: wrapping).run(operations)
      return nil
    } catch {
      return error
    }
  }
}
