package import EventModel
package import LogFormat

/// What a checkpoint puts into a device's queue file: everything that waits for it.
package struct DeviceFiling: Sendable {
  package let device: DeviceID
  package let messages: [PendingMessage]
  /// Whether the file that there is does not say what is so.
  package let isChanged: Bool

  /// The oldest message that is in the journal alone.
  package var firstUnfiled: UInt64? { messages.first { $0.checkpoint == 0 }?.sequence }

  /// What has to be known to take it back.
  package var filed: FiledDevice {
    FiledDevice(
      device: device, replaced: messages[0].checkpoint,
      replacedEnd: messages.last { $0.checkpoint != 0 }?.sequence ?? 0)
  }
}

/// A device whose file a checkpoint has written.
package struct FiledDevice: Sendable {
  package let device: DeviceID
  /// The checkpoint of the file that it takes the place of; 0 if there is none.
  package let replaced: UInt32
  /// The last message of that file.
  fileprivate let replacedEnd: UInt64
}

/// What a walk over some devices has found.
package struct FilingCount: Sendable {
  /// Devices whose queue file has to be written.
  package var needed = 0
  /// Those among them whose file does not say what is so.
  package var changed = 0
  /// Devices with a queue file.
  package var filed = 0
  /// The oldest message that is in the journal alone.
  package var firstUnfiled: UInt64?

  package init() {}

  package mutating func add(_ other: Self) {
    needed += other.needed
    changed += other.changed
    filed += other.filed
    if let unfiled = other.firstUnfiled { firstUnfiled = min(firstUnfiled ?? unfiled, unfiled) }
  }
}

/// Queue files (format-spec §14.4) hold what outlives the journal. A file holds everything that
/// waited for its device when it was written, so the messages that are in the journal alone are the
/// last of a queue.
///
/// Devices are walked a few slots at a time, so that nobody waits for long. A device keeps its slot
/// while anything waits for it: whatever was there when a walk began is met exactly once.
extension QueueTable {
  /// The slots that a walk goes over.
  package var slotRange: Range<UInt32> { slots.places }

  /// Counts, among some slots, the devices whose files have to be written before the journal can
  /// let go of what is below a number.
  package func countFilings(in range: Range<UInt32>, below floor: UInt64) -> FilingCount {
    var found = FilingCount()
    for slot in range.clamped(to: slots.places) where slots[slot].count > 0 {
      if nodes[slots[slot].first].checkpoint != 0 { found.filed += 1 }
      let unfiled = firstUnfiled(slot)
      if let unfiled { found.firstUnfiled = min(found.firstUnfiled ?? unfiled, unfiled) }
      if slots[slot].isChanged { found.changed += 1 }
      if slots[slot].isChanged || unfiled.map({ $0 < floor }) ?? false { found.needed += 1 }
    }
    return found
  }

  private func firstUnfiled(_ slot: UInt32) -> UInt64? {
    var place = slots[slot].first
    while place != noPlace, nodes[place].checkpoint != 0 { place = nodes[place].next }
    return place == noPlace ? nil : nodes[place].sequence
  }

  /// Takes what has to be written of some slots.
  ///
  /// From here on the devices count as written; ``revert(_:from:)`` takes that back.
  package mutating func takeFilings(
    in range: Range<UInt32>, below floor: UInt64
  ) -> [DeviceFiling] {
    var filings: [DeviceFiling] = []
    for slot in range.clamped(to: slots.places) where slots[slot].count > 0 {
      guard slots[slot].isChanged || firstUnfiled(slot).map({ $0 < floor }) ?? false else {
        continue
      }
      filings.append(
        DeviceFiling(
          device: names.device(at: slots[slot].name), messages: messages(in: slot, max: .max),
          isChanged: slots[slot].isChanged))
      slots[slot].isChanged = false
    }
    return filings
  }

  /// A device's file could not be written anew: what waits of it is where it was.
  package mutating func postpone(_ filing: DeviceFiling) {
    guard filing.isChanged, let slot = find(filing.device),
      nodes[slots[slot].first].checkpoint != 0
    else { return }
    slots[slot].isChanged = true
    isDirectoryStale = true
  }

  /// A device's file has been written: what still waits of it is read from there.
  package mutating func noteFiled(_ filing: DeviceFiling, in checkpoint: UInt32) {
    let file = QueueFile(device: filing.device, checkpoint: checkpoint)
    guard let last = filing.messages.last?.sequence, let slot = find(filing.device),
      nodes[slots[slot].first].sequence <= last
    else {
      emptied.append(file)
      return
    }
    // Something may have changed before the file was known to be there.
    if !waits(filing.messages, in: slot) {
      slots[slot].isChanged = true
      isDirectoryStale = true
    }
    var place = slots[slot].first
    while place != noPlace, nodes[place].sequence <= last {
      nodes[place].checkpoint = checkpoint
      place = nodes[place].next
    }
  }

  /// Whether a queue begins with messages as they were.
  private func waits(_ messages: [PendingMessage], in slot: UInt32) -> Bool {
    var place = slots[slot].first
    for message in messages {
      guard place != noPlace, self.message(at: place) == message else { return false }
      place = nodes[place].next
    }
    return true
  }

  /// A device's file is not part of the store after all.
  package mutating func revert(_ device: FiledDevice, from checkpoint: UInt32) {
    isDirectoryStale = true
    guard let slot = find(device.device) else { return }
    var place = slots[slot].first
    while place != noPlace {
      let node = nodes[place]
      if node.checkpoint == checkpoint {
        nodes[place].checkpoint = node.sequence <= device.replacedEnd ? device.replaced : 0
      }
      place = node.next
    }
    slots[slot].isChanged = true
  }

  /// What the directory says of some slots: the devices with files, and what is in those.
  package func filedQueues(in range: Range<UInt32>) -> [(device: DeviceID, queue: FiledQueue)] {
    var queues: [(device: DeviceID, queue: FiledQueue)] = []
    for slot in range.clamped(to: slots.places) where slots[slot].count > 0 {
      let checkpoint = nodes[slots[slot].first].checkpoint
      guard checkpoint != 0 else { continue }
      let device = names.device(at: slots[slot].name)
      var queue = FiledQueue(checkpoint: checkpoint, isOutdated: slots[slot].isChanged)
      var place = slots[slot].first
      while place != noPlace, nodes[place].checkpoint != 0 {
        if queue.messages.count == FiledQueue.messageCountMax {
          queues.append((device, queue))
          queue.messages = []
        }
        queue.messages.append((message(at: place).filed, Int(nodes[place].size)))
        place = nodes[place].next
      }
      queues.append((device, queue))
    }
    return queues
  }

  /// The directory is about to be made: from here on what changes makes it stale again.
  package mutating func beginDirectory() { isDirectoryStale = false }

  /// There is no directory, or it does not say what is so.
  package mutating func noteStaleDirectory() { isDirectoryStale = true }

  /// The files whose every message is gone, since this was last asked.
  package mutating func takeEmptied() -> [QueueFile] {
    defer { emptied = [] }
    return emptied
  }

  package var emptiedCount: Int { emptied.count }

  /// Puts a message into its queue as a queue file, or their directory, says.
  ///
  /// Messages of a device come in their order, before anything that the journal says.
  package mutating func load(
    _ message: FiledMessage, size: Int, device: DeviceID, checkpoint: UInt32
  ) {
    lastLoaded = max(lastLoaded ?? 0, message.sequence)
    let slot = find(device) ?? addSlot(device)
    let last = slots[slot].last
    // Two files would not agree in this; the first one holds.
    if last != noPlace, nodes[last].sequence >= message.sequence { return }
    var node = QueueNode(
      sequence: message.sequence, expiry: message.expiry, size: size, slot: slot,
      feedback: message.feedback)
    node.deliveryCount = UInt16(clamping: message.deliveryCount)
    node.checkpoint = checkpoint
    let place = append(node)
    if message.isLocked {
      // Whoever held it is gone.
      lock(place, until: .max)
    } else if let availableFrom = message.availableFrom {
      delay(place, until: availableFrom)
    }
  }

  /// Puts a device's queue in place as the directory says.
  package mutating func load(_ queue: FiledQueue, of device: DeviceID) {
    for (message, size) in queue.messages {
      load(message, size: size, device: device, checkpoint: queue.checkpoint)
    }
    if queue.isOutdated, let slot = find(device) { slots[slot].isChanged = true }
  }

  /// The checkpoint that wrote a device's file; nil if it has none.
  package func file(of device: DeviceID) -> UInt32? {
    guard let slot = find(device) else { return nil }
    let checkpoint = nodes[slots[slot].first].checkpoint
    return checkpoint == 0 ? nil : checkpoint
  }

  /// The checkpoint whose file holds a message, 0 while only the journal does; nil if it does not
  /// wait.
  package func checkpoint(of sequence: UInt64, _ device: DeviceID) -> UInt32? {
    find(device).flatMap { find(sequence, in: $0) }.map { nodes[$0].checkpoint }
  }

  /// A message is about to change.
  mutating func noteChange(_ place: UInt32) {
    guard nodes[place].checkpoint != 0 else { return }
    slots[nodes[place].slot].isChanged = true
    isDirectoryStale = true
  }

  /// A message is about to go.
  mutating func noteRemoval(_ place: UInt32) {
    let node = nodes[place]
    guard node.checkpoint != 0 else { return }
    isDirectoryStale = true
    let isLast =
      node.previous == noPlace && (node.next == noPlace || nodes[node.next].checkpoint == 0)
    slots[node.slot].isChanged = !isLast
    if isLast {
      emptied.append(
        QueueFile(device: names.device(at: slots[node.slot].name), checkpoint: node.checkpoint))
    }
  }
}

extension PendingMessage {
  /// The message as a queue file has it.
  package var filed: FiledMessage {
    FiledMessage(
      sequence: sequence, expiry: expiry, feedback: feedback, deliveryCount: deliveryCount,
      availableFrom: availableFrom, isLocked: isLocked)
  }
}
