import Millrace
import Testing

/// One partition's writing as ``GroupCommit`` sees it, small enough to be explored in full: up to
/// three events, each a batch, and every order in which appends, requests and stages can meet.
private struct Model: Hashable {
  static let countMax: UInt64 = 3
  /// A batch of this size: one unsynced asks for a sync, two of them stall writing.
  static let batchSize = GroupCommit.stallSize / 2 + 1

  var commit = GroupCommit(durable: 0)
  var next: UInt64 = 0
  /// Everything below stands in full batches.
  var sealed: UInt64 = 0
  /// What a flush that is under way has taken, and a mark has not.
  var flushing: UInt64?
  var isMarking = false
  /// Whether somebody lays out the batch that comes next.
  var isLayingOut: Bool { commit.isHeldUp }
  /// What a sync that is under way covers.
  var syncing: UInt64?
  /// What syncs that have returned cover: the truth.
  var synced: UInt64 = 0
  /// The highest numbers that somebody waits for.
  var awaitedWrite: UInt64 = 0
  var awaitedSync: UInt64 = 0
  /// Every number that somebody waits to be durable.
  var awaitedSyncs: Set<UInt64> = []
  var isPoisoned = false
  var isFull = false

  enum Step: Hashable, CaseIterable {
    case append, appendFull, awaitWrite, awaitSync, awaitRoom, begin, mark, layOut, laidOut
    case endFlush, endFlushFull, failFlush, endSync, failSync
  }

  /// The state behind a step; nil where the step cannot be taken.
  func after(_ step: Step) throws -> Model? {
    var model = self
    switch step {
    case .append, .appendFull:
      guard next < Self.countMax, !isPoisoned else { return nil }
      model.next += 1
      if step == .appendFull {
        model.sealed = model.next
        model.commit.hasFullBatch = true
      }
    case .awaitWrite:
      guard !isPoisoned else { return nil }
      model.awaitedWrite = next
      model.isFull = false
      model.commit.requestWrite(upTo: next)
    case .awaitSync:
      guard !isPoisoned else { return nil }
      model.awaitedSync = next
      model.awaitedSyncs.insert(next)
      model.isFull = false
      model.commit.requestSync(upTo: next)
    case .awaitRoom:
      guard !isPoisoned else { return nil }
      model.isFull = false
      model.commit.requestWrite(upTo: commit.written)
    case .mark:
      guard !commit.isMarkDue, !isPoisoned else { return nil }
      model.commit.requestMark()
    case .layOut:
      guard let flushing, sealed > flushing, !isLayingOut, !isPoisoned else { return nil }
      model.commit.isHeldUp = true
    case .laidOut:
      guard isLayingOut else { return nil }
      model.commit.isHeldUp = false
    case .begin:
      guard let stage = model.commit.begin() else { return nil }
      try model.take(stage, from: self)
    case .endFlush, .endFlushFull, .failFlush: return endFlush(step)
    case .endSync, .failSync: return endSync(step)
    }
    return model
  }

  private mutating func take(_ stage: GroupCommit.Stage, from before: Model) throws {
    #expect(!before.isPoisoned, "a stage began in a poisoned partition")
    switch stage {
    case .flush:
      #expect(before.flushing == nil && !before.isMarking, "two flushes at once")
      #expect(!before.isFull, "a full disk was tried without a request")
      #expect(!before.isLayingOut, "a batch was written before it was laid out")
      #expect(
        before.commit.unsyncedSize < GroupCommit.stallSize
          || before.commit.written == before.commit.durable, "the unsynced tail grew on")
      let target = commit.isFlushingAll ? next : sealed
      flushing = try #require(target > commit.written ? target : nil, "there is nothing to flush")
      commit.hasFullBatch = false
    case .sync:
      #expect(before.syncing == nil, "two syncs at once")
      #expect(commit.written > commit.durable, "there is nothing to sync")
      #expect(
        before.flushing == nil && !before.isMarking && !before.isLayingOut
          || commit.unsyncedSize >= GroupCommit.syncSize
          || before.awaitedSyncs.contains { $0 > commit.durable && $0 <= commit.written },
        "a sync that helps nobody, beside a flush or while the next batch is laid out")
      syncing = commit.written
    case .mark:
      #expect(before.flushing == nil && !before.isMarking, "a mark beside a flush")
      #expect(commit.written == commit.durable, "a mark before its sync")
      isMarking = true
    }
  }

  private func endFlush(_ step: Step) -> Model? {
    var model = self
    if isMarking {
      model.isMarking = false
      if step == .failFlush { return poisoned(model, .mark) }
      model.commit.endFlush(written: 0)
      return step == .endFlush ? model : nil
    }
    guard let target = flushing else { return nil }
    model.flushing = nil
    switch step {
    case .endFlush: model.commit.endFlush(written: target)
    case .endFlushFull:
      // The first of its batches may have found room.
      let written = target - 1 > commit.written ? target - 1 : 0
      model.commit.hasFullBatch = true
      model.sealed = max(sealed, target)
      // They come first again, and nobody lays them out.
      model.commit.isHeldUp = false
      model.isFull = true
      model.commit.endFlushFull(written: written)
    default: return poisoned(model, .flush)
    }
    model.measure()
    return model
  }

  private func endSync(_ step: Step) -> Model? {
    guard let target = syncing else { return nil }
    var model = self
    model.syncing = nil
    guard step == .endSync else { return poisoned(model, .sync) }
    model.synced = target
    model.commit.endSync(durable: target)
    model.measure()
    return model
  }

  private func poisoned(_ model: Model, _ stage: GroupCommit.Stage) -> Model {
    var model = model
    model.isPoisoned = true
    model.commit.poison(stage)
    return model
  }

  private mutating func measure() {
    commit.unsyncedSize = Int(commit.written - commit.durable) * Self.batchSize
    let durable = commit.durable
    commit.note(firstSyncGoal: awaitedSyncs.filter { $0 > durable }.min() ?? .max)
  }

  /// What must hold in every state.
  func check() {
    #expect(commit.durable <= synced, "\(commit.durable) was acknowledged before its sync")
    #expect(commit.durable <= commit.written && commit.written <= next)
    #expect(commit.isPoisoned == isPoisoned, "poison is final")
    let isIdle = flushing == nil && syncing == nil && !isMarking
    guard isIdle, !isPoisoned, !isLayingOut else { return }
    var probe = commit
    let stage = probe.begin()
    let needsFlush = !isFull && (sealed > commit.written || awaitedWrite > commit.written)
    let needsSync = awaitedSync > commit.durable && (commit.written > commit.durable || !isFull)
    if needsFlush || needsSync {
      #expect(stage != nil, "somebody waits and no stage begins")
    }
  }

  /// Lets every stage succeed until none begins; then nobody may wait any more.
  func drained() throws -> Model {
    var model = self
    for _ in 0..<20 {
      let next =
        try model.after(.endFlush) ?? model.after(.endSync) ?? model.after(.laidOut)
        ?? model.after(.begin)
      guard let next else { return model }
      model = next
    }
    Issue.record("the stages never come to rest")
    return model
  }
}

@Suite("The group commit")
struct GroupCommitTests {
  @Test("Every order of three events, requests, stages and failures keeps its promises")
  func explore() throws {
    var seen: Set<Model> = [Model()]
    var frontier = [Model()]
    while let model = frontier.popLast() {
      model.check()
      for step in Model.Step.allCases {
        guard let next = try model.after(step), seen.insert(next).inserted else { continue }
        frontier.append(next)
      }
      guard !model.isPoisoned, !model.isFull else { continue }
      let rest = try model.drained()
      #expect(rest.commit.durable >= model.awaitedSync, "a waiter for a sync was forgotten")
      #expect(rest.commit.written >= model.awaitedWrite, "a waiter for a write was forgotten")
      #expect(rest.commit.written >= model.sealed, "a full batch was forgotten")
    }
    // The walk is worth nothing if it does not get around.
    #expect(seen.count > 5_000)
    #expect(seen.contains { $0.flushing != nil && $0.syncing != nil })
    #expect(seen.contains { $0.commit.unsyncedSize >= GroupCommit.stallSize })
    #expect(seen.contains { $0.isLayingOut && $0.flushing == nil })
  }

  @Test(
    "A failed stage stops everything for ever, whatever is asked for", arguments: [true, false])
  func poison(inSync: Bool) {
    var commit = GroupCommit(durable: 0)
    commit.requestSync(upTo: 1)
    commit.requestSync(upTo: 2)
    #expect(commit.begin() == .flush)
    if inSync {
      commit.endFlush(written: 1)
      #expect(commit.begin() == .flush)
      #expect(commit.begin() == .sync)
      commit.poison(.sync)
      // The flush beside it ends as it likes.
      commit.endFlush(written: 2)
    } else {
      commit.poison(.flush)
    }
    commit.requestSync(upTo: 3)
    commit.requestMark()
    commit.hasFullBatch = true
    #expect(commit.begin() == nil)
    #expect(commit.durable == 0)
  }
}
