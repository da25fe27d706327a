internal import EventModel
internal import LogFormat
internal import StorageIO
internal import SystemPackage

/// Checks the queue files and their directory (format-spec §14.4, §14.5).
///
/// What is damaged there is a loss where a message still waits and the journal does not hold it.
final class QueueFileCheck {
  private struct QueueFile: Hashable {
    let device: EventModel.DeviceID
    let checkpoint: UInt32

    var name: String {
      "\(FileNames.queues)/\(FileNames.queueFolder(of: device))/"
        + FileNames.queueFile(of: device, checkpoint: checkpoint)
    }
  }

  /// What the journal says about messages that queue files hold.
  fileprivate struct Journal {
    /// Messages that the journal holds too.
    var held: Set<UInt64> = []
    var settled: Set<UInt64> = []
    /// For each device that was removed, by which record.
    var removed: [EventModel.DeviceID: UInt64] = [:]
    /// Those of one record, here so that their memory is used again.
    private var entries: [JournalEntry] = []
  }

  /// Beside a writer that goes on, before what was found counts.
  private static let attemptsMax = 10

  private let part: FsckPart
  private let checkpoint: UInt32?
  private var findings: [Finding] = []
  private lazy var journal = readJournal()

  private init(_ part: FsckPart, _ checkpoint: UInt32?) {
    self.part = part
    self.checkpoint = checkpoint
  }

  static func run(_ part: FsckPart) {
    for (damage, severity) in findings(part, { $0.look() }) { part.add(damage, severity: severity) }
  }

  /// Queue files that are not there although messages wait in them, as a check finds them.
  static func missingFiles(_ part: FsckPart) -> [Damage] {
    let findings = findings(part) { check in
      let directory = check.checkpoint.flatMap { check.readDirectory($0) } ?? [:]
      var held = directory.mapValues(\.checkpoint)
      for file in check.list() where held[file.device] == file.checkpoint {
        held[file.device] = nil
      }
      check.findings = []
      check.tellMissing(held, directory)
    }
    return findings.map(\.damage)
  }

  private typealias Finding = (damage: Damage, severity: Severity?)

  /// What a look at the files finds, once no checkpoint has moved what it looked for.
  private static func findings(_ part: FsckPart, _ look: (QueueFileCheck) -> Void) -> [Finding] {
    var checkpoint = part.snapshot.state.queueCheckpoint?.number
    var check = QueueFileCheck(part, checkpoint)
    for _ in 1...attemptsMax {
      check = QueueFileCheck(part, checkpoint)
      look(check)
      guard !check.findings.isEmpty else { break }
      checkpoint = state(part).state.queueCheckpoint?.number
      guard checkpoint != check.checkpoint else { break }
    }
    return check.findings
  }

  private static func state(_ part: FsckPart) -> StoreSnapshot {
    StoreSnapshot(reading: part.root, part.fileSystem)
  }

  private func add(_ damage: Damage, severity: Severity? = nil) {
    findings.append((damage, severity))
  }

  private func look() {
    guard let checkpoint else {
      for file in list() { leftOver(file) }
      return
    }
    let directory = readDirectory(checkpoint)
    let files = list()
    var held: [EventModel.DeviceID: UInt32] = [:]
    if let directory {
      held = directory.mapValues(\.checkpoint)
    } else {
      for file in files where file.checkpoint <= checkpoint {
        held[file.device] = max(held[file.device] ?? 0, file.checkpoint)
      }
    }
    for file in files {
      if held[file.device] == file.checkpoint {
        held[file.device] = nil
        check(file, directory?[file.device]?.messages)
      } else {
        leftOver(file)
      }
    }
    tellMissing(held, directory)
  }

  /// Tells which files are missing of those that hold devices' messages.
  private func tellMissing(
    _ held: [EventModel.DeviceID: UInt32], _ directory: [EventModel.DeviceID: Queue]?
  ) {
    for (device, checkpoint) in held.sorted(by: { $0.key < $1.key }) {
      let file = QueueFile(device: device, checkpoint: checkpoint)
      tell(
        missing: directory?[device]?.messages ?? [], of: file, .missingFile,
        "the directory of queue files names it")
    }
  }

  private func list() -> [QueueFile] {
    var files: [QueueFile] = []
    for folder in part.list(FileNames.queues)
    where folder.kind == .directory && folder.name.utf8.count == 2 {
      let path = FileNames.queues + "/" + folder.name
      for entry in part.list(path) {
        part.count { $0.files += 1 }
        guard entry.kind == .file, let parsed = FileNames.parseQueueFile(entry.name),
          FileNames.queueFolder(of: parsed.device) == folder.name
        else {
          add(
            Damage(
              .orphanFile, file: path + "/" + entry.name, detail: "no part of the store"))
          continue
        }
        files.append(QueueFile(device: parsed.device, checkpoint: parsed.checkpoint))
      }
    }
    return files
  }

  private func leftOver(_ file: QueueFile) {
    add(
      Damage(.orphanFile, file: file.name, detail: "a queue file that is not yet removed"))
  }

  // MARK: Directory

  private struct Queue {
    let checkpoint: UInt32
    var messages: [UInt64] = []
  }

  /// What the directory says; nil where it is not whole.
  private func readDirectory(_ checkpoint: UInt32) -> [EventModel.DeviceID: Queue]? {
    let name = FileNames.queues + "/" + FileNames.queueDirectory(checkpoint: checkpoint)
    var queues: [EventModel.DeviceID: Queue] = [:]
    let problem = walk(name, .queueDirectory, checkpoint) { record throws(FormatError) in
      let device = try record.device()
      let queue = try FiledQueue(decoding: record.batch.body(at: record.index))
      queues[device, default: Queue(checkpoint: queue.checkpoint)].messages +=
        queue.messages.map(\.message.sequence)
    }
    guard let problem else { return queues }
    if problem.kind == .unsupported {
      add(problem)
      return nil
    }
    add(
      Damage(
        .badIndex, file: name, position: problem.position,
        detail: problem.detail + "; the queue files say the same"))
    return nil
  }

  // MARK: Files

  private func check(_ file: QueueFile, _ expected: [UInt64]?) {
    var found: Set<UInt64> = []
    let problem = walk(file.name, .queue, file.checkpoint) { record throws(FormatError) in
      guard try record.device() == file.device else {
        throw .corrupt("a message to \(record.deviceID) in the file of \(file.device)")
      }
      var reader = ByteReader(record.batch.body(at: record.index))
      let message = try FiledMessage(decoding: &reader)
      if !message.isLost { found.insert(message.sequence) }
    }
    let missing = expected.map { $0.filter { !found.contains($0) } } ?? []
    guard problem != nil || !missing.isEmpty else { return }
    if let problem, problem.kind == .unsupported {
      add(problem)
      return
    }
    tell(
      missing: missing, of: file, problem?.kind ?? .missingRecords,
      problem?.detail ?? "messages are not in it", at: problem?.position ?? 0,
      isKnown: expected != nil)
  }

  /// Says what is wrong with a file, and which messages are gone that still wait.
  private func tell(
    missing: [UInt64], of file: QueueFile, _ kind: DamageKind, _ detail: String,
    at position: Int = 0, isKnown: Bool = true
  ) {
    let lost = missing.filter { number in
      !journal.held.contains(number) && !journal.settled.contains(number)
        && journal.removed[file.device].map { number > $0 } ?? true
    }.sorted()
    var damage = Damage(kind, file: file.name, position: position, detail: detail)
    guard isKnown else {
      damage.detail += "; messages to \(file.device) may be gone"
      add(damage, severity: .error)
      return
    }
    guard let first = lost.first, let last = lost.last else {
      // A file goes once the last of its messages is settled.
      if kind == .missingFile { return }
      damage.detail += "; the journal holds what still waits, or nothing does"
      add(damage, severity: .note)
      return
    }
    damage.detail +=
      "; \(lost.count) messages to \(file.device) are gone, \(first)"
      + (lost.count > 1 ? " to \(last)" : "")
    damage.acknowledgedLoss = AcknowledgedLoss(
      partition: UInt32(PartitionID.journal.number), firstSequence: first,
      nextSequence: last + 1, devices: [file.device.description], from: nil, to: nil)
    // Whatever the damage is like: an unfinished write is no note in a file that was synced whole.
    add(damage, severity: .error)
  }

  /// Reads the records of a file; returns what is wrong with it first, or that it is not whole.
  private func walk(
    _ name: String, _ kind: FileHeader.Kind, _ checkpoint: UInt32,
    _ body: (InspectedRecord) throws(FormatError) -> Void
  ) -> Damage? {
    var problem: Damage?
    var last: InspectedFrame?
    let walk = FileWalk(
      path: part.root.appending(name), name: name, fileSystem: part.fileSystem,
      contents: part.contents)
    _ = walk.segment(expected: nil, evidence: 0, isSealed: true) { item in
      switch item {
      case .file(let file):
        part.count { $0.bytes += file.size }
        if let header = file.header {
          problem = self.problem(with: header, of: name, kind, checkpoint)
        }
      case .frame(let frame):
        part.count { $0.frames += 1 }
        last = frame
      case .damage(let damage):
        // Zeros stood in for what the disk did not give: that is behind whatever else is wrong.
        problem = damage.kind == .unreadable ? damage : problem ?? damage
      case .record(let record):
        // The header may be set right here; whoever opens the file takes it as it is.
        guard problem?.kind != .badFileHeader else { break }
        do throws(FormatError) {
          try body(record)
        } catch {
          problem =
            problem
            ?? Damage(
              error.isCorrupt ? .badRecord : .unsupported, file: name,
              position: last?.position ?? 0, detail: "\(error)")
        }
      default: break
      }
      return .goOn
    }
    guard problem == nil else { return problem }
    guard let last = last?.header, last.type == FrameHeader.FrameType.mark,
      last.watermark == last.baseNumber
    else {
      return Damage(.damagedFrame, file: name, detail: "the mark at its end is not there")
    }
    return nil
  }

  /// What keeps the engine from reading a file by this header, nil if nothing does.
  private func problem(
    with header: FileHeader, of name: String, _ kind: FileHeader.Kind, _ checkpoint: UInt32
  ) -> Damage? {
    let storeID = part.snapshot.header?.storeID ?? header.storeID
    let detail: String
    if header.kind != kind {
      detail = "the header is one of a \(header.kind) file"
    } else if header.storeID != storeID || header.fileID != UInt64(checkpoint) {
      detail = "the header is one of checkpoint \(header.fileID) of store \(header.storeID)"
    } else {
      return nil
    }
    return Damage(.badFileHeader, file: name, detail: detail)
  }

  private func readJournal() -> Journal {
    var journal = Journal()
    let snapshot = Self.state(part)
    for (log, segments) in snapshot.logs where log.stream == .journal {
      for segment in segments {
        let name = StoreSnapshot.name(of: segment.added)
        let walk = FileWalk(
          path: part.root.appending(name), name: name, fileSystem: part.fileSystem,
          contents: part.contents)
        _ = walk.segment(
          expected: snapshot.header(of: segment.added), evidence: 0,
          isSealed: segment.isSealed
        ) { item in
          if case .record(let record) = item { journal.add(record) }
          return .goOn
        }
      }
    }
    return journal
  }
}

extension QueueFileCheck.Journal {
  fileprivate mutating func add(_ record: InspectedRecord) {
    do throws(FormatError) {
      _ = try JournalEntry.decodeAll(record.batch.body(at: record.index), into: &entries)
      for entry in entries {
        switch entry {
        case .enqueued: held.insert(record.sequenceNumber)
        case .settled(let settled): self.settled.insert(settled.sequence)
        case .deviceRemoved: removed[try record.device()] = record.sequenceNumber
        case .locked, .returned: continue
        }
      }
    } catch {
      // The check of the journal tells of it.
      return
    }
  }
}

extension InspectedRecord {
  /// - Throws: `.corrupt` for a device id that is none.
  fileprivate func device() throws(FormatError) -> EventModel.DeviceID {
    do throws(InvalidIdentifier) {
      return try EventModel.DeviceID(deviceID)
    } catch {
      throw .corrupt("\(error)")
    }
  }
}
