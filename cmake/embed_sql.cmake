# rowcrew_embed_sql(<target> <header> <namespace> <dir> [<prefix>]): every sql file below <dir> becomes
# a Statement constant; "folder/name.sql" is folder_name. <prefix> goes before the statements' names,
# which tell prepared statements apart, not before the constants'.
set(ROWCREW_EMBED_SCRIPT ${CMAKE_CURRENT_LIST_DIR}/embed_sql_script.cmake)
function(rowcrew_embed_sql target header namespace dir)
  file(GLOB_RECURSE files CONFIGURE_DEPENDS ${dir}/*.sql)
  set(out ${PROJECT_BINARY_DIR}/generated/${header})
  add_custom_command(OUTPUT ${out}
    COMMAND ${CMAKE_COMMAND} -DDIR=${dir} -DOUT=${out} -DNAMESPACE=${namespace} -DPREFIX=${ARGV4} -P ${ROWCREW_EMBED_SCRIPT}
    DEPENDS ${files} ${ROWCREW_EMBED_SCRIPT} VERBATIM)
  target_sources(${target} PRIVATE ${out})
  target_include_directories(${target} PUBLIC ${PROJECT_BINARY_DIR}/generated)
endfunction()
