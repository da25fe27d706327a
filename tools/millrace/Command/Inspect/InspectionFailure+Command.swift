import CommandSupport
import LogInspection
import StorageIO

extension CommandFailure {
  /// A path that cannot be looked at, and what to do about it.
  init(_ failure: InspectionFailure, status: Int32 = ExitStatus.failure) {
    let advice =
      switch failure {
      case .missing: "check the path"
      case .notAStore: "name a store's folder, or create one with `millrace init`"
      case .notAFolder: "name the store's folder; `millrace dump` shows single files"
      case .notAFileOfAStore:
        "name a store's folder or a file of one (MANIFEST, CHECKPOINTS, .segment, .index)"
      case .unreadable(let failure) where failure.isAccessDenied:
        "run as a user who may read it"
      case .unreadable: "check the disk"
      }
    self.init("\(failure); \(advice)", status: status)
  }
}

extension Damage {
  /// The damage as `dump` prints it.
  var json: JSONValue {
    [
      "file": .string(file), "position": .integer(position), "kind": .string(kind.rawValue),
      "detail": .string(detail),
    ]
  }
}
