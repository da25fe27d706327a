import ArgumentParser

@main
struct TortureCommand: ParsableCommand {
}
