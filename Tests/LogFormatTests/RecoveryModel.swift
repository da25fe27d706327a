import EventModel
import LogFormat

/// One log, its writers and its disk, small enough to be explored in full around the real
/// ``RecoveryRule``: frames of one record, syncs that cover any number of them, crashes that leave
/// each unsynced frame as they like, one damage to a synced frame, recovery, and all of it again.
struct RecoveryModel: Hashable {
  /// What must be found when it is made.
  enum Mistake {
    case none
    /// The rule believes no watermark.
    case blindRule
    /// A frame names what is written as durable.
    case hastyWatermark
    /// A writer begins its epoch before the cut is synced, so that a crash may take the cut back.
    case hastyEpoch
  }

  struct Frame: Hashable {
    var type: UInt8
    var epoch: UInt16
    var base: UInt64
    var watermark: UInt64
    var chain: UInt32
    /// The writer that wrote it; no checksum knows it, for a retried event has the same bytes.
    var life: Int
    var slot: Int

    var next: UInt64 { base + (type == FrameHeader.FrameType.batch ? 1 : 0) }
    var id: Int { life << 8 | slot }

    var checksum: UInt32 {
      // An epoch's body is random.
      let key = type == FrameHeader.FrameType.epoch ? UInt64(life) : 0
      let fields = [UInt64(slot), UInt64(type), UInt64(epoch), base, watermark, UInt64(chain), key]
      let mixed = fields.reduce(UInt64(0x9e37_79b9_7f4a_7c15)) { state, field in
        let product = (state ^ field) &* 0xff51_afd7_ed55_8ccd
        return product ^ product >> 33
      }
      return UInt32(truncatingIfNeeded: mixed)
    }

    var scanned: ScannedFrame {
      var header = FrameHeader(
        type: type, epoch: epoch, recordCount: UInt32(next - base), baseNumber: base,
        baseTime: Timestamp(microseconds: Int64(slot)), watermark: watermark, chain: chain)
      header.storedSize = UInt32(RecoveryModel.slotSize - FrameHeader.size)
      return ScannedFrame(
        position: RecoveryModel.position(slot), header: header, checksum: checksum)
    }
  }

  /// What stands at a frame's place.
  enum Slot: Hashable {
    case zeros
    case garbage
    case frame(Frame, isWhole: Bool)
  }

  static let slotSize = 128
  static func position(_ slot: Int) -> Int { FileHeader.size + slot * slotSize }

  /// What a crash cannot take back.
  var slots: [Slot] = []
  /// Frames behind it that no sync has covered.
  var pending: [Frame] = []
  /// What stood there before a cut that no sync has covered.
  var stale: [Slot] = []
  /// Who wrote each number of the log; nil where it is known to be lost.
  var history: [Int?] = []
  /// Everything below it was acknowledged or shown to readers.
  var served = 0
  /// What the manifest testifies to.
  var evidence: UInt64 = 0
  var chain: UInt32 = 7
  var epoch: UInt16 = 0
  var life = 1
  var isDamageLeft = true

  // MARK: A writer's steps

  mutating func write(_ type: UInt8, _ mistake: Mistake) {
    let isHasty = mistake == .hastyWatermark && type == FrameHeader.FrameType.batch
    let frame = Frame(
      type: type, epoch: epoch, base: UInt64(history.count),
      watermark: UInt64(isHasty ? history.count : served), chain: chain, life: life,
      slot: slots.count + pending.count)
    pending.append(frame)
    chain = frame.checksum
    if type == FrameHeader.FrameType.batch { history.append(frame.id) }
  }

  /// A sync of the first frames has returned: those who waited for them are answered.
  mutating func synchronize(_ count: Int) {
    slots += pending.prefix(count).map { .frame($0, isWhole: true) }
    served = Int(pending[count - 1].next)
    pending.removeFirst(count)
    stale = []
  }

  /// Every state that one step of the writer leads to.
  func steps(framesMax: Int, _ mistake: Mistake) -> [Self] {
    var states: [Self] = []
    func add(_ change: (inout Self) -> Void) {
      var state = self
      change(&state)
      states.append(state)
    }
    if slots.count + pending.count < framesMax {
      add { $0.write(FrameHeader.FrameType.batch, mistake) }
      if served == history.count, lastWatermark < served {
        add { $0.write(FrameHeader.FrameType.mark, mistake) }
      }
    }
    for count in 0..<pending.count { add { $0.synchronize(count + 1) } }
    return states
  }

  private var lastWatermark: UInt64 {
    if let frame = pending.last { return frame.watermark }
    guard case .frame(let frame, _)? = slots.last else { return 0 }
    return frame.watermark
  }

  // MARK: What a crash leaves

  /// Every image of the disk that a crash may leave.
  func crashes() -> [[Slot]] {
    (stale.isEmpty ? [false] : [false, true]).flatMap { isCutUndone in
      var images = [slots]
      for (index, frame) in pending.enumerated() {
        let old = isCutUndone && index < stale.count ? stale[index] : .zeros
        let outcomes: [Slot] = [
          .frame(frame, isWhole: true), .frame(frame, isWhole: false), .garbage, old,
        ]
        images = images.flatMap { image in outcomes.map { image + [$0] } }
      }
      guard isCutUndone, stale.count > pending.count else { return images }
      return images.map { $0 + stale[pending.count...] }
    }
  }

  /// Every way to damage one frame that was synced.
  func damages(_ image: [Slot]) -> [[Slot]] {
    slots.indices.flatMap { index -> [[Slot]] in
      guard case .frame(let frame, isWhole: true) = image[index] else { return [] }
      return [Slot.zeros, .garbage, .frame(frame, isWhole: false)].map { slot in
        var image = image
        image[index] = slot
        return image
      }
    }
  }
}
