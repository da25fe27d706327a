package import EventModel
package import LogFormat

extension QueueTable {
  /// Applies an entry that has its number in the journal.
  ///
  /// Entries that say what is so already change nothing, so that a journal may be replayed over a
  /// state that holds a part of it.
  ///
  /// - Parameters:
  ///   - entry: what was decided.
  ///   - number: its number in the journal; of a message its sequence number.
  ///   - device: whose queue it is.
  ///   - size: bytes of the message that it carries.
  ///   - time: now; in recovery the time of the record.
  package mutating func apply(
    _ entry: JournalEntry, number: UInt64, device: borrowing DeviceID, size: Int = 0,
    at time: QueueTime
  ) {
    switch entry {
    case .enqueued(let enqueued):
      apply(enqueued, number: number, device: device, size: size)
    case .deviceRemoved:
      while let slot = find(device) { remove(slots[slot].first) }
    case .locked, .returned, .settled:
      if let slot = find(device) { apply(entry, in: slot, at: time) }
    }
  }

  /// Applies the entries of one record, in their order.
  package mutating func apply(
    _ entries: Span<JournalEntry>, number: UInt64, device: borrowing DeviceID,
    at time: QueueTime
  ) {
    if entries.count == 1 { return apply(entries[0], number: number, device: device, at: time) }
    guard let slot = find(device) else { return }
    let slotCount = slots.count
    for place in entries.indices {
      apply(entries[place], in: slot, at: time)
      // The last message went: nothing else can be about one that waits.
      guard slots.count == slotCount else { return }
    }
  }

  /// Applies what happened to a message that waits in a slot.
  private mutating func apply(_ entry: JournalEntry, in slot: UInt32, at time: QueueTime) {
    switch entry {
    // They stand alone in their record.
    case .enqueued, .deviceRemoved: return
    case .locked(let locked):
      guard let place = find(locked.sequence, in: slot) else { return }
      lock(
        place, deliveryCount: locked.deliveryCount,
        until: Self.deadline(locked.duration, at: time))
    case .returned(let returned):
      guard let place = place(of: returned.sequence, in: slot) else { return }
      noteChange(place)
      unhide(place)
      nodes[place].deliveryCount = UInt16(clamping: returned.deliveryCount)
      if let availableFrom = returned.availableFrom { delay(place, until: availableFrom) }
    case .settled(let settled):
      guard let place = place(of: settled.sequence, in: slot) else { return }
      remove(place)
    }
  }

  private func place(of sequence: UInt64, in slot: UInt32) -> UInt32? {
    // Most are locked.
    if let lock = locks[sequence], nodes[lock.place].slot == slot { return lock.place }
    return find(sequence, in: slot)
  }

  /// Applies that a message joined its queue.
  package mutating func apply(
    _ enqueued: JournalEntry.Enqueued, number: UInt64, device: borrowing DeviceID, size: Int
  ) {
    let slot = find(device) ?? addSlot(device)
    let last = slots[slot].last
    if last != noPlace, nodes[last].sequence >= number { return }
    append(
      QueueNode(
        sequence: number, expiry: enqueued.expiry, size: size, slot: slot,
        feedback: enqueued.feedback))
  }

  /// Puts a message behind the others of its device.
  @discardableResult
  mutating func append(_ node: QueueNode) -> UInt32 {
    let slot = node.slot
    let last = slots[slot].last
    let place = nodes.insert(node)
    nodes[place].previous = last
    if last == noPlace {
      slots[slot].first = place
    } else {
      nodes[last].next = place
    }
    slots[slot].last = place
    slots[slot].count += 1
    slots[slot].size += Int(node.size)
    wheel.insert(place, &nodes)
    return place
  }

  mutating func addSlot(_ device: borrowing DeviceID) -> UInt32 {
    let slot = slots.insert(QueueSlot(hash: device.hash, name: names.insert(device)))
    index.insert(slot, hash: device.hash)
    return slot
  }

  /// Hides a message from others until a deadline.
  ///
  /// - Returns: the nonce that the right to settle it has.
  @discardableResult
  mutating func lock(_ place: UInt32, deliveryCount: Int, until deadline: Int64) -> UInt64 {
    noteChange(place)
    unhide(place)
    nodes[place].deliveryCount = UInt16(clamping: deliveryCount)
    return lock(place, until: deadline)
  }

  @discardableResult
  mutating func lock(_ place: UInt32, until deadline: Int64) -> UInt64 {
    let (sequence, nonce) = (nodes[place].sequence, makeNonce())
    nodes[place].isLocked = true
    slots[nodes[place].slot].lockedCount += 1
    locks.insert(
      LockTable.Lock(sequence: sequence, place: place, nonce: nonce, deadline: deadline))
    lockEnds.insert(deadline, sequence)
    if lockEnds.count > 2 * locks.count + 64 {
      lockEnds = lockEnds.filter { locks[$0.sequence]?.deadline == $0.time }
    }
    return nonce
  }

  mutating func delay(_ place: UInt32, until time: Timestamp) {
    let sequence = nodes[place].sequence
    delays[sequence] = Delay(place: place, availableFrom: time)
    delayEnds.insert(time.microseconds, sequence)
    if delayEnds.count > 2 * delays.count + 64 {
      delayEnds = delayEnds.filter {
        delays[$0.sequence]?.availableFrom.microseconds == $0.time
      }
    }
  }

  /// Ends whatever keeps a message from being received.
  private mutating func unhide(_ place: UInt32) {
    let node = nodes[place]
    if node.isLocked {
      nodes[place].isLocked = false
      slots[node.slot].lockedCount -= 1
      locks.remove(node.sequence)
    }
    if !delays.isEmpty { delays[node.sequence] = nil }
  }

  mutating func remove(_ place: UInt32) {
    noteRemoval(place)
    unhide(place)
    wheel.remove(place, &nodes)
    let node = nodes[place]
    let slot = node.slot
    if node.previous == noPlace {
      slots[slot].first = node.next
    } else {
      nodes[node.previous].next = node.next
    }
    if node.next == noPlace {
      slots[slot].last = node.previous
    } else {
      nodes[node.next].previous = node.previous
    }
    slots[slot].count -= 1
    slots[slot].size -= Int(node.size)
    nodes.remove(place)
    guard slots[slot].count == 0 else { return }
    // An idle device leaves no state.
    index.remove(slot, hash: slots[slot].hash)
    names.remove(slots[slot].name)
    slots.remove(slot)
  }
}
