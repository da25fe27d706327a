import EventModel
import LogFormat
import LogInspection
import Millrace
import StorageIO
import SystemPackage

/// The predicate of the damage tests for device queues: whatever was damaged, no reader shows what
/// was never written, what is missing is told, and nothing else is touched.
struct QueueHonesty {
  /// What of the store a file holds.
  enum Part: Equatable {
    /// The messages of one device.
    case queue(EventModel.DeviceID)
    /// Nothing that is not elsewhere as well.
    case derived
    case journal
    case feedback
    case deadLetters
    /// What says which files there are, and from where on the journal counts.
    case manifest

    /// Whether more than one part of the queues goes by it.
    var isShared: Bool { self == .journal || self == .manifest }

    init(_ path: FilePath) {
      let name = path.lastComponent?.string ?? ""
      switch path.extension {
      case "queue":
        self =
          QueueStore.devices.first { name.hasPrefix("\($0)-") }.map { .queue($0) } ?? .derived
      case "journal": self = .journal
      case "segment": self = path.string.contains("/feedback/") ? .feedback : .deadLetters
      default: self = name == FileNames.manifest ? .manifest : .derived
      }
    }
  }

  let store: QueueStore
  let damaged: QueueStore
  let file: FilePath
  /// Whether what nothing testifies to may be gone without a trace.
  let isWide: Bool
  var witnesses = Witnesses.all

  private var part: Part { Part(file) }

  /// What is broken, or the error that kept it from being seen.
  func violationOrError() async -> String? {
    do {
      return try await violation()
    } catch {
      return "\(error)"
    }
  }

  /// What is broken, in words; nil when everything holds.
  func violation() async throws -> String? {
    let reading = damaged.fileSystem
    let name = String(file.string.dropFirst(QueueStore.root.string.count + 1))
    let found = try Fsck.check(QueueStore.root, fileSystem: reading)
    let stray = found.findings.first { $0.file != name && $0.severity == .error }
    if let stray, !part.isShared { return "fsck tells of \(stray.file): \(stray.detail)" }
    let findings = found.findings.filter { $0.file == name }
    if witnesses == .all {
      if let violation = try dumpViolation(reading) { return "dump: \(violation)" }
      _ = try StoreStatistics.collect(QueueStore.root, fileSystem: reading)
    }
    do throws(EventStoreError) {
      let reader = try await QueueStore.open(reading, .readOnly)
      let seen = try await QueueContents(of: reader)
      try await reader.close()
      guard damaged.isUntouched(on: reading) else { return "reading has written" }
      if let violation = difference(seen, findings) { return "read-only: \(violation)" }
      guard witnesses == .all else { return nil }
      return try await writingViolation(findings).map { "writing: \($0)" }
    } catch {
      // A store whose manifest cannot be trusted is not opened.
      guard part == .manifest, error.code == .corrupt, !findings.isEmpty,
        error.description.contains(file.string)
      else { throw error }
      return nil
    }
  }

  /// A message that a walk over all files shows and that was never sent like that.
  private func dumpViolation(_ fileSystem: MemoryFileSystem) throws -> String? {
    var violation: String?
    try StoreInspector(QueueStore.root, fileSystem: fileSystem).walk { item in
      guard case .record(let record) = item, let found = record.queueRecord else { return .goOn }
      let (number, feedback): (UInt64, FeedbackMode)
      switch found.content {
      case .filed(let message): (number, feedback) = (message.sequence, message.feedback)
      case .entries(let entries, nil):
        guard case .enqueued(let enqueued)? = entries.first else { return .goOn }
        (number, feedback) = (record.sequenceNumber, enqueued.feedback)
      case .entries, .directory: return .goOn
      }
      let message = DeviceMessage(
        body: found.body, properties: record.properties, systemProperties: record.systemProperties,
        expiryTime: nil, feedback: feedback)
      let device = EventModel.DeviceID(stringLiteral: record.deviceID)
      guard store.sent[device]?[number] == QueueContents.text(of: message) else {
        violation = "\(number) to \(device) in \(record.file) was never sent"
        return .stop
      }
      return .goOn
    }
    return violation
  }

  /// What is not as it was and should be, or is and nobody told.
  private func difference(_ seen: QueueContents, _ findings: [FsckFinding]) -> String? {
    if let wrong = madeUp(seen) { return wrong }
    let before = store.contents
    if !part.isShared {
      for device in QueueStore.devices where part != .queue(device) {
        guard seen.waiting[device] == before.waiting[device] else {
          return "\(device) has \(Self.numbers(seen, device)), not \(Self.numbers(before, device))"
        }
      }
    }
    if part != .feedback, !part.isShared, seen.reports != before.reports {
      return "\(seen.reports.count) reports of \(before.reports.count)"
    }
    if part != .deadLetters, !part.isShared,
      (seen.letters, seen.sentAgain) != (before.letters, before.sentAgain)
    {
      return "\(seen.letters.count) dead letters of \(before.letters.count)"
    }
    guard seen == before || !findings.isEmpty || isSilent else { return "changed, and untold" }
    if case .queue(let device) = part { return untold(device, seen, findings) }
    return nil
  }

  /// Whether nothing testifies to what stands at the end of the file.
  private var isSilent: Bool {
    guard isWide, store.ending == .killed else { return false }
    return [.journal, .feedback, .deadLetters, .manifest].contains(part)
  }

  /// A message that was never sent like that, or an outcome that is none or there twice.
  private func madeUp(
    _ seen: QueueContents, _ sent: [EventModel.DeviceID: [UInt64: String]] = [:]
  ) -> String? {
    for (device, messages) in seen.waiting {
      for (number, message) in messages {
        let text = sent[device]?[number] ?? store.sent[device]?[number]
        guard text == message.text else { return "\(number) to \(device) was never sent" }
      }
    }
    for (outcomes, before) in [
      (seen.reports, store.contents.reports), (seen.letters, store.contents.letters),
    ] {
      guard Set(outcomes).count == outcomes.count else { return "an outcome is told twice" }
      guard Set(outcomes).isSubset(of: before) else { return "an outcome was never told" }
    }
    guard Set(seen.sentAgain).isSubset(of: store.contents.sentAgain) else {
      return "\(seen.sentAgain) were not sent again"
    }
    return nil
  }

  /// What a queue file lost without a word; or a loss that is none.
  private func untold(
    _ device: EventModel.DeviceID, _ seen: QueueContents, _ findings: [FsckFinding]
  ) -> String? {
    let before = Set((store.contents.waiting[device] ?? [:]).keys)
    let shown = Set((seen.waiting[device] ?? [:]).keys)
    guard shown.isSubset(of: before) else { return "\(shown.subtracting(before)) are settled" }
    let missing = before.subtracting(shown)
    let losses = findings.compactMap(\.acknowledgedLoss)
    guard losses.allSatisfy({ $0.devices == [device.description] }) else {
      return "a loss of another device"
    }
    guard missing.min() == losses.map(\.firstSequence).min(),
      missing.max().map({ $0 + 1 }) == losses.map(\.nextSequence).max()
    else {
      return "\(missing.sorted()) of \(device) are missing, told is \(findings)"
    }
    return nil
  }

  private static func numbers(
    _ contents: QueueContents, _ device: EventModel.DeviceID
  ) -> [String] {
    (contents.waiting[device] ?? [:]).map { "\($0.key)×\($0.value.deliveryCount)" }.sorted()
  }

  /// Opens the store to write, sends and receives, and opens it again.
  private func writingViolation(
    _ findings: [FsckFinding]
  ) async throws(EventStoreError) -> String? {
    let disk = damaged.fileSystem
    let writer = try await QueueStore.open(disk, .readWrite)
    if let violation = difference(try await QueueContents(of: writer), findings) {
      return violation
    }
    var sent: [EventModel.DeviceID: [UInt64: String]] = [:]
    for device in QueueStore.devices {
      let queue = writer.deviceQueue(for: device)
      let message = DeviceMessage(id: "new", body: Payload("new to \(device)"))
      let number = try await queue.enqueue(message)
      sent[device, default: [:]][number] = QueueContents.text(of: message)
      do throws(EventStoreError) {
        for received in try await queue.receive(max: 100) {
          let text = sent[device]?[received.sequenceNumber]
          guard
            QueueContents.text(of: received.message)
              == text ?? store.sent[device]?[received.sequenceNumber]
          else { return "\(received.sequenceNumber) to \(device) was never sent" }
        }
      } catch {
        guard error.code == .corrupt, part == .queue(device) else { throw error }
      }
    }
    try await writer.close()
    let again = try await QueueStore.open(disk, .readOnly)
    let seen = try await QueueContents(of: again)
    try await again.close()
    if let wrong = madeUp(seen, sent) { return "opened again: \(wrong)" }
    for (device, messages) in sent {
      for (number, text) in messages where seen.waiting[device]?[number]?.text != text {
        return "\(number) to \(device) was acknowledged and is gone"
      }
    }
    return nil
  }
}
