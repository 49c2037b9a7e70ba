# Warnings are errors for our own code; foreign headers are system headers. rowcrew_options is for
# everything, but for child programs that run under limits a sanitizer cannot live with: those take
# rowcrew_plain_options.
add_library(rowcrew_plain_options INTERFACE)
target_compile_features(rowcrew_plain_options INTERFACE cxx_std_20)
target_compile_options(rowcrew_plain_options INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion -Wnon-virtual-dtor
  -Woverloaded-virtual -Werror -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False alarms of g++ 12: coroutine frames, std::variant, std::string = "x" at -O3.
  target_compile_options(rowcrew_plain_options INTERFACE -Wno-maybe-uninitialized -Wno-mismatched-new-delete -Wno-restrict)
endif()
target_include_directories(rowcrew_plain_options INTERFACE ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/include)
target_compile_definitions(rowcrew_plain_options INTERFACE
  BOOST_ASIO_SEPARATE_COMPILATION BOOST_ASIO_NO_DEPRECATED BOOST_BEAST_SEPARATE_COMPILATION
  JSON_USE_IMPLICIT_CONVERSIONS=0
  $<$<NOT:$<CONFIG:Release>>:_GLIBCXX_ASSERTIONS>
  $<$<BOOL:${ROWCREW_FAULTS}>:ROWCREW_FAULTS>)
target_link_libraries(rowcrew_plain_options INTERFACE Threads::Threads)

add_library(rowcrew_options INTERFACE)
target_link_libraries(rowcrew_options INTERFACE rowcrew_plain_options)
if(ROWCREW_SANITIZE)
  target_compile_options(rowcrew_options INTERFACE -fsanitize=${ROWCREW_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(rowcrew_options INTERFACE -fsanitize=${ROWCREW_SANITIZE})
  if(ROWCREW_SANITIZE STREQUAL "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # Asio's fences are invisible to it; what they order is ordered by the scheduler's mutex too.
    target_compile_options(rowcrew_options INTERFACE -Wno-tsan)
  endif()
endif()
