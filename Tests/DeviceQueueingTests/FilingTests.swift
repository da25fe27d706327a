import DeviceQueueing
import EventModel
import LogFormat
import SimulationKit
import Testing

/// Queue files and the journal from a checkpoint on say together what the whole journal says.
@Suite("Filing")
struct FilingTests {
  private struct File {
    var checkpoint: UInt32
    var messages: [(message: FiledMessage, size: Int)]
  }

  /// What a crash leaves.
  private struct Disk {
    var floor: UInt64 = 0
    var files: [DeviceID: File] = [:]
    var directory: [(device: DeviceID, queue: FiledQueue)] = []
  }

  private struct Run: ~Copyable {
    var random: SeededRandom
    var queues: TestQueues
    let rules: QueueRules
    var disk = Disk()
    var tokens: [(token: LockToken, device: DeviceID)] = []
    var checkpointCount: UInt32 = 0
    var filedCount = 0

    init(seed: UInt64) {
      random = SeededRandom(seed: seed)
      rules = QueueRules(
        depthMax: 1 + random.below(8), deliveryCountMax: 1 + random.below(4),
        lockTimeoutsCount: random.chance(percent: 50))
      queues = TestQueues(rules, key: seed)
    }

    mutating func device() throws -> DeviceID { try DeviceID("device-\(random.below(9))") }

    mutating func change() throws {
      let device = try device()
      switch random.below(12) {
      case 0...4:
        do throws(QueueRejection) {
          try queues.enqueue(
            to: device, size: random.below(60), timeToLive: Double(1 + random.below(200)))
        } catch {
          return
        }
      case 5...7:
        tokens += queues.receive(by: device, max: 1 + random.below(3)).tokens.map { ($0, device) }
      case 8...9: try settle()
      case 10:
        queues.pass(Double(random.below(30)))
        queues.expire()
      default:
        if random.chance(percent: 30) { queues.apply(.deviceRemoved, to: device) }
      }
    }

    mutating func settle() throws {
      guard !tokens.isEmpty else { return }
      let (token, device) = tokens.remove(at: random.below(tokens.count))
      let delay = Timestamp(
        microseconds: queues.time.wall.microseconds + Int64(random.below(40)) * TestQueues.second)
      let verbs: [QueueVerb] = [
        .complete, .complete, .abandon(availableFrom: nil), .abandon(availableFrom: delay),
        .reject(reason: "no"),
      ]
      do throws(QueueRejection) {
        try queues.settle(token, verbs[random.below(verbs.count)], of: device)
      } catch {
        return
      }
    }

    mutating func changes(_ count: Int) throws {
      for _ in 0..<random.below(count) { try change() }
    }

    mutating func removeEmptied() {
      for file in queues.table.takeEmptied()
      where disk.files[file.device]?.checkpoint == file.checkpoint {
        disk.files[file.device] = nil
      }
    }

    /// A checkpoint with changes between any two of its steps, which may come to nothing.
    mutating func checkpoint(isCompleted: Bool) throws {
      removeEmptied()
      // Left by what a restart has forgotten.
      for (device, file) in disk.files where queues.table.file(of: device) != file.checkpoint {
        disk.files[device] = nil
      }
      checkpointCount += 1
      let floor = UInt64(queues.journal.count)
      var files: [DeviceID: File] = [:]
      var written: [FiledDevice] = []
      var start: UInt32 = 0
      while start < queues.table.slotRange.upperBound {
        let range = start..<start + 2
        start += 2
        let filings = queues.table.takeFilings(in: range, below: floor)
        written += filings.map(\.filed)
        for filing in filings {
          files[filing.device] = File(
            checkpoint: checkpointCount, messages: filing.messages.map { ($0.filed, $0.size) })
        }
        try changes(4)
        for filing in filings { queues.table.noteFiled(filing, in: checkpointCount) }
        try changes(4)
      }
      queues.table.beginDirectory()
      var directory: [(device: DeviceID, queue: FiledQueue)] = []
      start = 0
      while start < queues.table.slotRange.upperBound {
        directory += queues.table.filedQueues(in: start..<start + 2)
        start += 2
        try changes(3)
      }
      removeEmptied()
      guard isCompleted else {
        for device in written { queues.table.revert(device, from: checkpointCount) }
        return
      }
      filedCount += files.count
      disk.floor = floor
      disk.directory = directory
      disk.files.merge(files) { $1 }
      if random.chance(percent: 50) { removeEmptied() }
    }

    /// What would be found after a crash.
    func replayed(fromFiles: Bool) -> QueueTable {
      var table = QueueTable(rules: rules, key: 77)
      if fromFiles {
        for (device, file) in disk.files {
          for (message, size) in file.messages {
            table.load(message, size: size, device: device, checkpoint: file.checkpoint)
          }
        }
      } else {
        for (device, queue) in disk.directory { table.load(queue, of: device) }
      }
      for (index, record) in queues.journal.enumerated() where index >= disk.floor {
        table.apply(
          record.entry, number: UInt64(index), device: record.device, size: record.size,
          at: QueueTime(wall: record.time, steady: 0))
      }
      return table
    }

    func compare(_ step: Int) throws {
      for fromFiles in [false, true] {
        let table = replayed(fromFiles: fromFiles)
        try #require(
          Self.contents(table) == Self.contents(queues.table),
          "step \(step), \(fromFiles ? "files" : "directory")")
        if fromFiles { continue }
        // Every message that the journal may have let go of is in a file.
        for number in 0..<9 {
          let device = try DeviceID("device-\(number)")
          for message in table.messages(of: device) where message.sequence < disk.floor {
            let file = try #require(disk.files[device], "step \(step): no file of \(device)")
            #expect(file.checkpoint == message.checkpoint)
            #expect(file.messages.contains { $0.message.sequence == message.sequence })
          }
        }
      }
    }

    static func contents(_ table: borrowing QueueTable) -> [DeviceID: [PendingMessage]] {
      var contents: [DeviceID: [PendingMessage]] = [:]
      table.forEachDevice { device, _ in contents[device] = [] }
      for device in contents.keys {
        contents[device] = table.messages(of: device).map { message in
          var message = message
          message.checkpoint = 0
          return message
        }
      }
      return contents
    }

    /// Goes on with what was found.
    mutating func restart() {
      let fromFiles = random.chance(percent: 40)
      queues.table = replayed(fromFiles: fromFiles)
      if fromFiles { queues.table.noteStaleDirectory() }
      tokens = []
      for (device, entry) in queues.table.decideRestart() { queues.apply(entry, to: device) }
    }
  }

  @Test(
    "Through checkpoints that end, fail and are cut off, nothing is lost and nothing comes back",
    arguments: 0..<60 as Range<UInt64>)
  func whole(seed: UInt64) throws {
    var run = Run(seed: seed)
    for step in 0..<120 {
      try run.changes(12)
      switch run.random.below(8) {
      case 0...2: try run.checkpoint(isCompleted: run.random.chance(percent: 75))
      case 3: run.restart()
      case 4: run.removeEmptied()
      default: break
      }
      try run.compare(step)
    }
    #expect(run.filedCount > 10)
  }

  @Test("The count of a walk says what a checkpoint takes, and none is left behind it")
  func counts() throws {
    var run = Run(seed: 5)
    for _ in 0..<300 { try run.change() }
    let floor = UInt64(run.queues.journal.count)
    let all = run.queues.table.slotRange
    let before = run.queues.table.countFilings(in: all, below: floor)
    #expect(before.needed > 0 && before.filed == 0 && before.firstUnfiled != nil)
    try run.checkpoint(isCompleted: true)
    // Changes came between; a second one takes those, and leaves nothing.
    try run.checkpoint(isCompleted: true)
    let filings = run.queues.table.takeFilings(in: all, below: 0)
    for filing in filings { run.queues.table.noteFiled(filing, in: 9) }
    let after = run.queues.table.countFilings(in: all, below: 0)
    #expect(after.needed == 0 && after.changed == 0 && after.filed > 0)
  }
}
