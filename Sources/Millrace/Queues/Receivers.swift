internal import DeviceQueueing
internal import EventModel
internal import Synchronization

/// Those who wait for a message to one device.
struct Receivers {
  private var waiting: [EventModel.DeviceID: [(id: Int, suspension: Suspension<Bool>)]] = [:]
  private var nextID = 0

  mutating func makeID() -> Int {
    nextID += 1
    return nextID
  }

  mutating func add(_ suspension: Suspension<Bool>, _ id: Int, for device: EventModel.DeviceID) {
    waiting[device, default: []].append((id, suspension))
  }

  /// Everybody who waits for a device: all but one will wait again.
  mutating func take(for device: EventModel.DeviceID) -> [Suspension<Bool>] {
    waiting.removeValue(forKey: device)?.map(\.suspension) ?? []
  }

  mutating func take(_ id: Int, for device: EventModel.DeviceID) -> Suspension<Bool>? {
    guard let index = waiting[device]?.firstIndex(where: { $0.id == id }) else { return nil }
    let suspension = waiting[device]?.remove(at: index).suspension
    if waiting[device]?.isEmpty == true { waiting[device] = nil }
    return suspension
  }

  mutating func takeAll() -> [Suspension<Bool>] {
    defer { waiting = [:] }
    return waiting.values.flatMap { $0.map(\.suspension) }
  }
}

extension QueueCore {
  func wakeReceivers(of devices: some Sequence<EventModel.DeviceID>) {
    // Whoever begins to wait after this finds what has become available before.
    guard receiverCount.load(ordering: .sequentiallyConsistent) > 0 else { return }
    let woken = state.withLock { state -> [Suspension<Bool>] in
      devices.flatMap { state.receivers.take(for: $0) }
    }
    for suspension in woken { suspension.resume(true) }
  }

  /// Suspends until a message may have become available to a device; false at the end, and when the
  /// task is cancelled.
  func waitForMessage(to device: EventModel.DeviceID) async -> Bool {
    receiverCount.wrappingAdd(1, ordering: .sequentiallyConsistent)
    defer { receiverCount.wrappingSubtract(1, ordering: .sequentiallyConsistent) }
    let id = state.withLock { $0.receivers.makeID() }
    return await withTaskCancellationHandler {
      await Suspension.suspend { suspension in
        let answer = state.withLock { state -> Bool? in
          if state.isClosed || Task.isCancelled { return false }
          let due = state.table.decideReceive(
            by: device, max: 1, below: journal.durableNumber, at: clock.now(), into: &state.found)
          guard due.isEmpty, state.found.isEmpty else { return true }
          state.receivers.add(suspension, id, for: device)
          return nil
        }
        if let answer { suspension.resume(answer) }
      }
    } onCancel: {
      state.withLock { $0.receivers.take(id, for: device) }?.resume(false)
    }
  }
}
