import CommitLog
import EventModel
import FuzzHarness
import LogFormat
import LogInspection
import SimulationKit
import StorageIO
import SystemPackage

/// `fsck`, `dump`, `info` and `fsck --repair` of a mangled store, and the engine's own opening of
/// one: nothing traps, those who only look write nothing, and a repair leaves nothing to repair.
enum StoreTools {
  static let inspection = FuzzTarget("inspection", seeds: MangledStore.seeds) { input in
    let mangled = MangledStore(input)
    let fileSystem = mangled.store.fileSystem
    do {
      let result = try Fsck.check(CanonicalStore.root, fileSystem: fileSystem)
      var recordCount = 0
      try StoreInspector(CanonicalStore.root, fileSystem: fileSystem).walk { item in
        if case .record(let record) = item {
          recordCount += 1
          _ = (record.deviceID, record.body, record.properties, record.systemProperties)
        }
        return .goOn
      }
      _ = try StoreStatistics.collect(CanonicalStore.root, fileSystem: fileSystem)
      if !result.clean, recordCount > 3 { Fuzzing.landmark() }
    } catch {
      // Nothing that looks like a store is left.
    }
    precondition(mangled.store.isUntouched(on: fileSystem), "inspection has written")
  }

  static let repair = FuzzTarget("repair", seeds: MangledStore.seeds) { input in
    let mangled = MangledStore(input)
    let fileSystem = mangled.store.fileSystem
    let environment = CanonicalStore.environment(fileSystem, seed: 5)
    do {
      let outcome = try StoreRepair.run(CanonicalStore.root, environment: environment)
      precondition(
        outcome.found.needsRepair || mangled.store.isUntouched(on: fileSystem),
        "a store without damage was changed")
      _ = try Fsck.check(CanonicalStore.root, fileSystem: fileSystem)
      if !outcome.repairs.isEmpty { Fuzzing.landmark() }
    } catch {
      // Of a later version, or nothing that can be mended.
    }
  }

  static let opening = FuzzTarget("opening", seeds: MangledStore.seeds) { input in
    let mangled = MangledStore(input)
    let fileSystem = mangled.store.fileSystem
    let environment = CanonicalStore.environment(fileSystem, seed: 7)
    do {
      let store = try SimulatedStore.open(
        in: environment, choices: CommitLog.Choices(codec: .lz4))
      var eventCount = 0
      for partition in store.log.partitions {
        let cursor = BatchCursor(
          from: 0, mappings: store.log.mappings, fileSystem: fileSystem
        ) { partition.snapshot }
        let decompressor = BatchDecompressor()
        while let item = try cursor.read() {
          guard case .batch(let stored, _) = item else { continue }
          eventCount += try stored.decode(with: decompressor).count
        }
      }
      try store.log.close()
      if mangled.isChanged, eventCount > 3 { Fuzzing.landmark() }
    } catch {
      // Refused, with a reason.
    }
  }
}
