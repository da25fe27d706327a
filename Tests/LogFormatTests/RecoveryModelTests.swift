import LogFormat
import Testing

/// Nothing acknowledged is cut, nothing is shown that a crash can take back: in every state of a
/// small log over two and three crashes, with the rule that the engine uses.
@Suite("The recovery rule in every small state")
struct RecoveryModelTests {
  /// How far the walks go: how many frames each writer writes until the crash that ends it.
  #if DEBUG
    private static let walks = [[3, 2], [2, 1, 1]]
  #else
    private static let walks = [[4, 3], [3, 2, 1]]
  #endif

  struct Walk {
    var states = 0
    var recoveries = 0
    private let mistake: RecoveryModel.Mistake

    init(_ mistake: RecoveryModel.Mistake) { self.mistake = mistake }

    /// Visits every state that a writer can reach, crashes it in every way and recovers.
    ///
    /// - Returns: the states that recovery leads to.
    mutating func writer(
      from starts: Set<RecoveryModel>, more: Int
    ) throws(RecoveryModel.Violation) -> Set<RecoveryModel> {
      var begun: Set<RecoveryModel> = []
      for start in starts {
        let framesMax = start.slots.count + start.pending.count + more
        var seen: Set<RecoveryModel> = [start]
        var frontier = [start]
        while let state = frontier.popLast() {
          states += 1
          for image in state.crashes() {
            try recover(state, image, isDamaged: false, &begun)
            guard state.isDamageLeft else { continue }
            for damaged in state.damages(image) {
              try recover(state, damaged, isDamaged: true, &begun)
            }
          }
          for next in state.steps(framesMax: framesMax, mistake)
          where seen.insert(next).inserted { frontier.append(next) }
        }
      }
      return begun
    }

    private mutating func recover(
      _ state: RecoveryModel, _ image: [RecoveryModel.Slot], isDamaged: Bool,
      _ begun: inout Set<RecoveryModel>
    ) throws(RecoveryModel.Violation) {
      recoveries += 1
      let outcome = try state.recovered(image, isDamaged: isDamaged, mistake)
      begun.insert(outcome.begun)
      // A crash before the cut: the next opening must come to the same.
      guard let uncut = outcome.uncut else { return }
      recoveries += 1
      begun.insert(try uncut.model.recovered(uncut.image, isDamaged: false, mistake).begun)
    }
  }

  private func walk(
    _ mistake: RecoveryModel.Mistake, _ writers: [Int]
  ) throws(RecoveryModel.Violation) -> Walk {
    var walk = Walk(mistake)
    var starts: Set = [RecoveryModel()]
    for count in writers { starts = try walk.writer(from: starts, more: count) }
    return walk
  }

  @Test("No crash after the other and no one damage break a promise", arguments: walks)
  func explore(writers: [Int]) throws {
    let walk = try walk(.none, writers)
    print("recovery of \(writers): \(walk.states) states, \(walk.recoveries) recoveries")
    // The walk is worth nothing if it does not get around.
    #expect(walk.states > 500)
    #expect(walk.recoveries > 10_000)
  }

  @Test(
    "A mistake on purpose is found",
    arguments: [RecoveryModel.Mistake.blindRule, .hastyWatermark, .hastyEpoch])
  func canary(mistake: RecoveryModel.Mistake) {
    #expect(throws: RecoveryModel.Violation.self) { try walk(mistake, [3, 2]) }
  }
}
