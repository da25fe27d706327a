/// Bytes that are not what the format says.
///
/// The layer that knows the file and the position adds them.
package enum FormatError: Error, Hashable, Sendable {
  /// The bytes were changed, cut or never written.
  case corrupt(String)
  /// The bytes are sound and of a version that this code does not know.
  case unsupportedVersion(found: UInt16, newest: UInt16)
  /// The bytes are sound and use incompatible features that this code does not know.
  case unsupportedFeatures(UInt32)
}

extension FormatError: CustomStringConvertible {
  package var description: String {
    switch self {
    case .corrupt(let detail): detail
    case .unsupportedVersion(let found, let newest):
      "format version \(found) is newer than \(newest), the newest this program reads"
    case .unsupportedFeatures(let flags):
      "feature flags 0x\(String(flags, radix: 16)) are unknown to this program"
    }
  }
}
