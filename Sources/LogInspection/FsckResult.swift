/// How much a finding matters.
package enum Severity: String, Hashable, Sendable, Comparable {
  /// What a crash may leave, what is made again by itself, or what is already recorded.
  case note
  /// Nothing proves a loss, and nothing rules one out.
  case warning
  case error

  private var rank: Int {
    switch self {
    case .note: 0
    case .warning: 1
    case .error: 2
    }
  }

  package static func < (left: Self, right: Self) -> Bool { left.rank < right.rank }
}

/// One thing that a check found.
package struct FsckFinding: Hashable, Sendable {
  package var damage: Damage
  package var severity: Severity

  package var file: String { damage.file }
  package var position: Int { damage.position }
  package var kind: DamageKind { damage.kind }
  package var detail: String { damage.detail }
  package var acknowledgedLoss: AcknowledgedLoss? { damage.acknowledgedLoss }

  package init(_ damage: Damage, severity: Severity? = nil) {
    self.damage = damage
    self.severity = severity ?? damage.kind.severity
  }
}

extension DamageKind {
  /// What a finding of this kind means when nothing else is known.
  package var severity: Severity {
    switch self {
    case .tornTail, .reorderedTail, .staleIndex, .orphanFile, .manifestGap: .note
    case .undecidableTail, .flippedBit, .badIndex: .warning
    default: .error
    }
  }
}

/// What a check looked at.
package struct FsckCounts: Hashable, Sendable {
  package var files = 0
  package var bytes = 0
  package var segments = 0
  package var frames = 0
  package var batches = 0
  package var events = 0
  package var indexEntries = 0
  package var manifestEdits = 0
  package var checkpointEntries = 0
}

/// The result of a check.
package struct FsckResult: Hashable, Sendable {
  package var checked = FsckCounts()
  package internal(set) var findings: [FsckFinding] = []
  /// Findings that are counted and not kept: those of a sort behind the first so many.
  package private(set) var omitted = 0
  /// Whether nothing worse than a warning was found.
  package internal(set) var clean = true
  /// How many findings there are that are worse than notes, those that are not kept included.
  private(set) var damageCount = 0
  private let findingMax: Int
  private var counts: [Sort: Int] = [:]

  /// Findings that share their room: so notes hide no damage, and damage that there is much of
  /// hides no damage of another kind.
  private struct Sort: Hashable {
    let kind: DamageKind
    let severity: Severity
  }

  /// A store that is wrong all over is described well enough by this many of a sort.
  package static let findingMax = 10_000

  init(findingMax: Int) { self.findingMax = findingMax }

  /// Adds what another part of the check has found.
  mutating func add(_ other: FsckResult) {
    let kept = other.findings.count { $0.severity > .note }
    for finding in other.findings { add(finding) }
    damageCount += other.damageCount - kept
    omitted += other.omitted
    clean = clean && other.clean
  }

  mutating func add(_ finding: FsckFinding) {
    if finding.severity == .error { clean = false }
    if finding.severity > .note { damageCount += 1 }
    let sort = Sort(kind: finding.kind, severity: finding.severity)
    guard counts[sort, default: 0] < findingMax else {
      omitted += 1
      return
    }
    counts[sort, default: 0] += 1
    findings.append(finding)
  }
}
