internal import EventModel

/// When which message expires: lists of messages by the time that is left, coarse for those far
/// away and finer the nearer they come, so that a million deadlines cost a few bytes each and
/// setting one costs nothing.
///
/// A hierarchical timing wheel (Varghese and Lauck, "Hashed and hierarchical timing wheels", 1987):
/// level n has 64 lists of 64^n ticks each. A message is due at most one tick late.
struct ExpiryWheel: ~Copyable, Sendable {
  /// 2^20 microseconds, about a second.
  private static var tickBits: Int { 20 }
  private static var levelCount: Int { 8 }
  private static var listBits: Int { 6 }
  private static var listCount: Int { 64 }

  /// The list of those that are due.
  private static var due: Int { levelCount * listCount }

  private var heads = [UInt32](repeating: noPlace, count: due + 1)
  /// For each level, which lists hold anything.
  private var occupied = [UInt64](repeating: 0, count: levelCount)
  private var now: UInt64 = 0

  /// The first message that is due, once ``advance(to:_:)`` said so.
  var firstDue: UInt32 { heads[Self.due] }

  /// Times before 1970 come first, and none is too far away.
  private static func tick(_ microseconds: Int64) -> UInt64 {
    UInt64(max(0, microseconds)) >> UInt64(tickBits)
  }

  /// The first tick at whose beginning the time has passed.
  private static func dueTick(_ time: Timestamp) -> UInt64 {
    tick(max(1, time.microseconds) - 1) + 1
  }

  mutating func insert(_ place: UInt32, _ nodes: inout Slab<QueueNode>) {
    let list = list(of: Self.dueTick(nodes[place].expiry))
    let head = heads[list]
    nodes[place].wheelNext = head
    nodes[place].wheelPrevious = noPlace
    if head != noPlace { nodes[head].wheelPrevious = place }
    heads[list] = place
    if list != Self.due { occupied[list >> Self.listBits] |= 1 << UInt64(list & 63) }
  }

  mutating func remove(_ place: UInt32, _ nodes: inout Slab<QueueNode>) {
    let (next, previous) = (nodes[place].wheelNext, nodes[place].wheelPrevious)
    if next != noPlace { nodes[next].wheelPrevious = previous }
    guard previous == noPlace else {
      nodes[previous].wheelNext = next
      return
    }
    let list = list(of: Self.dueTick(nodes[place].expiry))
    precondition(heads[list] == place, "a message is not in its list of the wheel")
    heads[list] = next
    if next == noPlace, list != Self.due {
      occupied[list >> Self.listBits] &= ~(1 << UInt64(list & 63))
    }
  }

  /// Where a tick belongs, which stays the same until the wheel's hand comes there.
  private func list(of tick: UInt64) -> Int {
    guard tick > now else { return Self.due }
    let highest = 63 - ((tick ^ now) | UInt64(Self.listCount - 1)).leadingZeroBitCount
    let level = highest / Self.listBits
    return level << Self.listBits | Int(tick >> UInt64(level * Self.listBits)) & 63
  }

  /// When the wheel has to be turned again at the latest; nil if nothing waits.
  var nextTime: Timestamp? {
    if heads[Self.due] != noPlace { return Timestamp(microseconds: .min) }
    return nextList.map {
      let (time, overflow) = Int64(truncatingIfNeeded: $0.tick)
        .multipliedReportingOverflow(by: 1 << Int64(Self.tickBits))
      return Timestamp(microseconds: overflow ? .max : time)
    }
  }

  /// The list that comes up next, and when.
  private var nextList: (tick: UInt64, list: Int)? {
    for level in 0..<Self.levelCount where occupied[level] != 0 {
      // All of a level lie in the turn of the level above that has begun, ahead of its hand.
      let index = occupied[level].trailingZeroBitCount
      let shift = UInt64(level * Self.listBits)
      let turnBits = shift + UInt64(Self.listBits)
      let turn = (now >> turnBits) << turnBits
      return (turn | UInt64(index) << shift, level << Self.listBits | index)
    }
    return nil
  }

  /// Puts every message whose time has passed into the list of those that are due.
  ///
  /// A time before the last one changes nothing.
  mutating func advance(to time: Timestamp, _ nodes: inout Slab<QueueNode>) {
    let target = Self.tick(time.microseconds)
    while let (tick, list) = nextList, tick <= target {
      now = max(now, tick)
      var place = heads[list]
      heads[list] = noPlace
      occupied[list >> Self.listBits] &= ~(1 << UInt64(list & 63))
      while place != noPlace {
        let next = nodes[place].wheelNext
        insert(place, &nodes)
        place = next
      }
    }
    now = max(now, target)
  }
}
