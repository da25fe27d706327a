/// A byte number in a file.
///
/// Never called an offset: an ``Offset`` counts records.
package struct FilePosition: Hashable, Comparable, Sendable, CustomStringConvertible {
  package let bytes: Int

  package init(_ bytes: Int) {
    precondition(bytes >= 0, "file position \(bytes) is negative")
    self.bytes = bytes
  }

  package static let start = Self(0)

  package var description: String { String(bytes) }

  package static func < (left: Self, right: Self) -> Bool { left.bytes < right.bytes }

  package func advanced(by count: Int) -> Self { Self(bytes + count) }
}
