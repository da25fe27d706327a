import SystemPackage

/// The system's words for its error numbers.
package enum SystemMessage {
  /// The text of an error number, such as `No such file or directory`.
  package static func text(_ number: Int32) -> String { Errno(rawValue: number).description }
}
