import SimulationKit
import StorageIO
import SystemPackage
import Testing

struct AtomicReplaceCrashTests {
  @Test
  func `Whenever the machine dies, a replaced file is the old one or the new one`() throws {
    let (old, new) = ([UInt8](repeating: 1, count: 3000), [UInt8](repeating: 2, count: 5000))
    let leftOver = [UInt8](repeating: 3, count: 9000)
    let seed = UInt64.random(in: .min ... .max)
    var random = SeededRandom(seed: seed)
    var states: Set<UInt64> = []
    var isFinished = false
    var operation = 1
    while !isFinished {
      let disk = SimulatedDisk(
        files: ["/s/M": old, "/s/M.new": leftOver], .crash(at: operation))
      do throws(IOFailure) {
        try AtomicReplace.replace("/s/M", with: new.span.bytes, in: disk)
        isFinished = true
      } catch {
        #expect(error.isInjected)
      }
      for index in 0..<50 {
        let style = CrashStyle.allCases[index % CrashStyle.allCases.count]
        let image = disk.crashImage(using: &random, style)
        let found = image.image["/s/M"]
        #expect(
          found == new || found == old && !isFinished,
          "seed \(seed), operation \(operation), \(style)")
        states.insert(image.fingerprint())
        try AtomicReplace.replace("/s/M", with: leftOver.span.bytes, in: image)
        #expect(image.durableImage == ["/s/M": leftOver], "seed \(seed), \(operation), \(style)")
      }
      operation += 1
    }
    #expect(operation == 8)
    // The old file with, without and with an empty or a whole new one beside it; the new file.
    #expect(states.count >= 5, "seed \(seed)")
  }
}
