/// What the command tells its caller when it ends.
package enum ExitStatus {
  package static let success: Int32 = 0
  /// The operation failed.
  package static let failure: Int32 = 1
  /// It ran, but met damaged data or a gap.
  package static let damage: Int32 = 2
  /// Wrong usage (`EX_USAGE` of sysexits).
  package static let usage: Int32 = 64

  /// Of `fsck`, as fsck(8): these are bits that combine.
  package enum FileSystemCheck {
    package static let repaired: Int32 = 1
    package static let damageLeft: Int32 = 4
    package static let operationalError: Int32 = 8
  }
}
