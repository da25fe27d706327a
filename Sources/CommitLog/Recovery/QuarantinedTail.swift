package import LogFormat

/// A piece of a file that recovery took out of the log.
package struct QuarantinedTail: Hashable, Sendable {
  package let range: Range<Int>
  package let verdict: TailVerdict
  /// Its file's name in the quarantine.
  package let name: String
}

extension TailVerdict {
  /// The verdict in file names and reports.
  package var label: String {
    switch self {
    case .clean: "clean"
    case .tornTail: "torn-tail"
    case .reorderedTail: "reordered-tail"
    case .undecidableTail: "undecidable-tail"
    case .lostSuffix: "lost-suffix"
    }
  }
}
