private import CFuzzDriver
private import Foundation

/// What every fuzz target shares: writing the seeds, calling libFuzzer, and the landmark that
/// proves that the fuzzer comes as far as it should.
package enum Fuzzing {
  // SAFETY: set before the fuzzer starts, on the one thread that there is.
  nonisolated(unsafe) private static var examine: ([UInt8]) -> Void = { _ in }

  /// Whether reaching the landmark is to be a crash.
  ///
  /// `tools/fuzz/run` asks for it before it fuzzes: a target that finds nothing in this mode would
  /// find nothing at all.
  private static let trapsAtLandmark =
    ProcessInfo.processInfo.environment["MILLRACE_FUZZ_CANARY"] != nil

  /// Runs the program: `--seeds DIRECTORY` writes the seeds, anything else goes to libFuzzer.
  ///
  /// - Parameters:
  ///   - seeds: sound inputs, from which the fuzzer starts.
  ///   - examine: decodes the bytes; whatever they are, it returns.
  /// - Throws: when a seed cannot be written.
  package static func run(seeds: [[UInt8]], _ examine: @escaping ([UInt8]) -> Void) throws {
    let arguments = CommandLine.arguments
    if arguments.count == 3, arguments[1] == "--seeds" {
      let directory = URL(fileURLWithPath: arguments[2], isDirectory: true)
      for (number, seed) in seeds.enumerated() {
        try Data(seed).write(to: directory.appendingPathComponent("seed-\(number)"))
      }
      return
    }
    self.examine = examine
    var count = CommandLine.argc
    // SAFETY: the arguments live as long as the process.
    var values: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? =
      CommandLine.unsafeArgv
    let status = LLVMFuzzerRunDriver(&count, &values) { bytes, size in
      // SAFETY: libFuzzer keeps the bytes valid for the call; the array copies them.
      Fuzzing.examine(Array(UnsafeRawBufferPointer(start: bytes, count: size)))
      return 0
    }
    exit(status)
  }

  /// Marks the place that a fuzzer must be able to reach for its target to be worth running.
  package static func landmark() {
    if trapsAtLandmark { crash("landmark reached") }
  }

  /// Ends the process as a finding.
  ///
  /// An optimised build does not print the message of a failed precondition, so `tools/fuzz/run`
  /// looks for this one.
  package static func crash(_ message: String) -> Never {
    FileHandle.standardError.write(Data("fuzzing: \(message)\n".utf8))
    abort()
  }
}
