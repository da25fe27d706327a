internal import EventModel
internal import LogFormat

/// A message that waits: what deciding needs to know of it, 48 bytes.
///
/// The message itself stays on the disk.
struct QueueNode {
  let sequence: UInt64
  let expiry: Timestamp
  let size: UInt32
  /// Its device's slot.
  let slot: UInt32
  /// Its neighbours in the device's queue, in the order of their numbers.
  var next = noPlace
  var previous = noPlace
  /// Its neighbours in a list of the expiry wheel.
  var wheelNext = noPlace
  var wheelPrevious = noPlace
  /// How often it was delivered.
  var deliveryCount: UInt16 = 0
  let feedback: FeedbackMode
  var isLocked = false
  /// The checkpoint whose queue file holds it; 0 while only the journal does.
  var checkpoint: UInt32 = 0

  init(sequence: UInt64, expiry: Timestamp, size: Int, slot: UInt32, feedback: FeedbackMode) {
    self.sequence = sequence
    self.expiry = expiry
    self.size = UInt32(size)
    self.slot = slot
    self.feedback = feedback
  }
}

/// A device with pending messages.
struct QueueSlot {
  let hash: UInt64
  let name: DeviceNames.Place
  /// Whether its queue file does not say what is so: one of its messages has changed or is gone.
  var isChanged = false
  var first = noPlace
  var last = noPlace
  var count: UInt32 = 0
  var lockedCount: UInt32 = 0
  /// Bytes of the messages.
  var size = 0
}
