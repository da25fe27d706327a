package import StorageIO
package import SystemPackage

/// Something that a repair did to a store.
package struct Repair: Hashable, Sendable {
  /// What kind of change it was.
  ///
  /// The raw values are part of the command's output and stay.
  package enum Kind: String, Hashable, Sendable, CaseIterable {
    /// Wrong bits were set right, each confirmed by a checksum of another kind.
    case healed
    /// What is gone is written down in the manifest: readers report it and go on behind it.
    case gapRecorded = "gap-recorded"
    /// A file was written anew from what is left of it and from what others say.
    case rebuilt
    /// A file was moved to the quarantine.
    case setAside = "set-aside"
    /// Opening the store for writing dealt with it.
    case recovered
  }

  package var kind: Kind
  /// The path inside the store.
  package var file: String
  package var position: Int
  package var detail: String

  package init(_ kind: Kind, file: String, position: Int = 0, detail: String) {
    self.kind = kind
    self.file = file
    self.position = position
    self.detail = detail
  }
}

/// Why a store could not be repaired; what was done until then is whole.
package enum RepairFailure: Error, Hashable, Sendable {
  /// The path is no store, or cannot be read.
  case inspection(InspectionFailure)
  /// Another process writes to the store.
  case locked(FilePath, LockHolder)
  /// A step failed; repairing again goes on there.
  case io(IOFailure)
}

extension FsckResult {
  /// Whether there is anything that a repair would try to mend: notes are left as they are, and so
  /// is a store that a newer program has written.
  package var needsRepair: Bool {
    guard !findings.contains(where: { $0.kind == .unsupported }) else { return false }
    return damageCount > 0
  }
}
