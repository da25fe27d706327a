/// What the manifest testifies to about the checkpoint file (format-spec §8.10).
package struct CheckpointWitness: Hashable, Sendable {
  /// Where the file ended at the last close.
  package var end: ManifestEdit.CheckpointsEnd
  /// Whether nobody has opened the store since: a writer may put another file in the place of one
  /// that has grown or is damaged.
  package var isClosed: Bool

  package init(end: ManifestEdit.CheckpointsEnd, isClosed: Bool) {
    self.end = end
    self.isClosed = isClosed
  }

  /// Of a store whose manifest says nothing about the file.
  package static let none = Self(end: .unknown, isClosed: false)

  /// What a file has lost although every frame in it is sound.
  package enum Loss: Hashable, Sendable {
    case lastCommits
    /// Another file stood here.
    case otherFile
  }

  /// What a close names again where the file stays as it was found and is not to be believed.
  ///
  /// Nothing where another file may have taken its place since the last close: a crash may leave
  /// that, and damage in it is told by itself.
  ///
  /// - Parameter salt: of the file's header; nil where there is none that can be read.
  /// - Returns: an end that is as true as it was.
  package func closingEnd(salt: UInt64?) -> ManifestEdit.CheckpointsEnd {
    isClosed || salt == end.salt ? end : .unknown
  }

  /// What a file has lost.
  ///
  /// - Parameters:
  ///   - salt: of the file's header.
  ///   - reaches: whether a frame of the log in the file ends at a place, with a header checksum.
  /// - Returns: nil for nothing that the manifest knows of.
  package func loss(
    salt: UInt64, reaches: (_ position: Int, _ chain: UInt32) -> Bool
  ) -> Loss? {
    guard end.isKnown else { return nil }
    guard salt == end.salt else { return isClosed ? .otherFile : nil }
    return reaches(Int(clamping: end.position), end.chain) ? nil : .lastCommits
  }
}

extension CheckpointWitness.Loss: CustomStringConvertible {
  package var description: String {
    switch self {
    case .lastCommits: "the last commits before the store was closed are missing"
    case .otherFile: "when the store was closed another file stood here, so this is an older one"
    }
  }
}
