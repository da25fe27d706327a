/// Makes a failing sequence of operations as short as deleting parts of it can.
struct ModelShrinking {
  /// How many sequences are tried before the shortest so far has to do.
  static let trialCountMax = 3_000

  private(set) var operations: [ModelOperation]
  private(set) var failure: ModelRun.Failure
  private(set) var trialCount = 0
  private let run: ([ModelOperation]) -> ModelRun.Failure?

  /// Shrinks a sequence that fails.
  init(
    _ operations: [ModelOperation], _ failure: ModelRun.Failure,
    run: @escaping ([ModelOperation]) -> ModelRun.Failure?
  ) {
    self.operations = Array(operations.prefix(failure.operation + 1))
    self.failure = failure
    self.run = run
    var size = max(1, self.operations.count / 2)
    while trialCount < Self.trialCountMax {
      let before = self.operations.count
      dropParts(of: size)
      if size > 1 {
        size /= 2
      } else if self.operations.count == before {
        return
      }
    }
  }

  /// Tries to go without each part of a size.
  private mutating func dropParts(of size: Int) {
    var start = 0
    while start < operations.count, trialCount < Self.trialCountMax {
      var candidate = operations
      candidate.removeSubrange(start..<min(start + size, candidate.count))
      trialCount += 1
      if let failure = run(candidate) {
        // What stands behind the operation that fails has no part in it.
        operations = Array(candidate.prefix(failure.operation + 1))
        self.failure = failure
      } else {
        start += size
      }
    }
  }
}
